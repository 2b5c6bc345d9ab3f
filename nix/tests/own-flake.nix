# Third-party systems that import the module, for ci/eval-flake: one must evaluate, two must not.
{ nixpkgs }:
let
  tree = /. + nixpkgs;
  lib = import (tree + "/lib");
  inherit ((import ../../default.nix { nixpkgs = tree; })) outputs;
  system =
    rave:
    (import (tree + "/nixos/lib/eval-config.nix") {
      system = "x86_64-linux";
      modules = [
        outputs.nixosModules.default
        {
          rave = {
            enable = true;
            profile = "headless";
          }
          // rave;
          nixpkgs.config.allowUnfreePredicate = import ../unfree.nix { inherit lib; };
          fileSystems."/" = {
            device = "/dev/vda";
            fsType = "ext4";
          };
          boot.loader.grub.device = "/dev/vda";
        }
      ];
    }).config.system.build.toplevel.drvPath;
in
{
  evaluates = system {
    hardened = true;
    user = "dev";
    ports.gateway = 80;
    environment.GREETING = "it's \"$5\"";
    authorizedKeys = [ "ssh-ed25519 AAAA me@home" ];
    certificates = [ ./corp-ca.pem ];
  };
  # A hardened system with a password.
  hardenedWithPassword = system {
    hardened = true;
    password = "agent";
  };
  # A user name that rave.toml refuses too.
  reservedUser = system { user = "root"; };
}
