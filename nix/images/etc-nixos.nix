# The content of a machine's /etc/nixos: RAVE's flake and the user's own, so that `sudo nixos-rebuild switch` rebuilds
# the system from the image's module.
{ config, lib, pkgs }:
let
  cfg = config.rave;
  settings = import ../settings.nix { inherit lib; };
  flake = import ../packages/source.nix {
    inherit lib;
    besides = [
      ../../profiles
      ../../flake.nix
      ../../flake.lock
      ../../nix
    ]
    # Files that rave.toml names.
    ++ map (path: ../.. + "/${path}") (settings.extra.units ++ settings.guest.certificates);
  };
  toml = pkgs.writeText "rave.toml" (import ../lib/rave-toml.nix { inherit lib; });
  own = pkgs.writeText "flake.nix" ''
    # This machine. Edit configuration.nix, then: sudo nixos-rebuild switch
    {
      inputs.rave.url = "path:/etc/nixos/rave";
      outputs =
        { rave, ... }:
        {
          nixosConfigurations."${config.networking.hostName}" = rave.nixosConfigurations.${cfg.profile}.extendModules {
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
  # With modes: the digest of the sources depends on which files are executable, and so does the path of every program.
  cp --recursive --no-preserve=ownership,timestamps ${flake} $folder/rave
  chmod --recursive u+w $folder/rave
  cp ${toml} $folder/rave/rave.toml
  cp ${own} $folder/flake.nix
  cp ${configuration} $folder/configuration.nix
''
