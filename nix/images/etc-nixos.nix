# The content of a machine's /etc/nixos: RAVE's flake and the user's own, so that `sudo nixos-rebuild switch` rebuilds
# the system from the image's module.
{ config, lib, pkgs }:
let
  cfg = config.rave;
  flake = import ../packages/source.nix {
    inherit lib;
    besides = [
      ../../profiles
      ../../flake.nix
      ../../flake.lock
      ../../nix
    ];
  };
  toml = pkgs.writeText "rave.toml" (import ../lib/rave-toml.nix { inherit lib; });
  own = pkgs.writeText "flake.nix" ''
    # This machine. Edit configuration.nix, then: sudo nixos-rebuild switch
    {
      inputs.rave.url = "path:/etc/nixos/rave";
      outputs =
        { rave, ... }:
        {
          nixosConfigurations.${cfg.hostName} = rave.nixosConfigurations.${cfg.profile}.extendModules {
            modules = [ ./configuration.nix ];
          };
        };
    }
  '';
  configuration = pkgs.writeText "configuration.nix" ''
    # What this machine adds to the image: see https://search.nixos.org/options, and rave.*
    { pkgs, ... }:
    {
      environment.systemPackages = [ ];
    }
  '';
in
pkgs.runCommand "rave-etc-nixos" { } ''
  folder=$out/etc/nixos
  mkdir --parents $folder
  cp --recursive --no-preserve=mode ${flake} $folder/rave
  cp ${toml} $folder/rave/rave.toml
  cp ${own} $folder/flake.nix
  cp ${configuration} $folder/configuration.nix
''
