# The NixOS module: `imports = [ rave.nixosModules.default ]; rave.enable = true;`.
{ settings }:
{ lib, ... }:
{
  _file = "nix/modules";
  imports = [
    (import ./options.nix { inherit settings; })
    (import ./extra.nix { inherit settings; })
    ./base.nix
    ./services.nix
    ./environment.nix
    ./certificates.nix
    ./ssh.nix
    ./hardening.nix
    ./udev.nix
  ]
  ++ map (name: ../features + "/${name}.nix") (lib.importJSON ../facts.json).raveToml.features;
}
