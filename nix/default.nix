# The flake's outputs. Each line names the file that defines them.
{
  nixpkgs,
  # The flake itself; null without flakes.
  self ? null,
}:
let
  # The npm lock, the boot loaders and steam-run support only this platform.
  system = "x86_64-linux";
  lib = import (nixpkgs + "/lib");
  settings = import ./settings.nix { inherit lib; };
  pkgs = import nixpkgs {
    inherit system;
    overlays = [ overlay ];
    config = {
      allowUnfreePredicate = import ./unfree.nix { inherit lib; };
      allowAliases = false;
    };
  };
  overlay = final: _: { rave = import ./packages { pkgs = final; }; };

  module = import ./modules { inherit settings; };
  profiles = lib.mapAttrs (
    name: _: import ./profile.nix { inherit nixpkgs lib pkgs module settings name; }
  ) settings.profiles;
  images = import ./images { inherit lib pkgs settings profiles; };
  apps = import ./apps.nix { inherit lib pkgs settings images; };
in
{
  nixosConfigurations = profiles;
  nixosModules.default = module;
  overlays.default = overlay;

  packages.${system} = images // {
    default = images.qemu;
    options = import ./options-page.nix { inherit lib pkgs profiles settings; };
    inherit (pkgs.rave) rave rave-guest tools xtask;
  };
  apps.${system} = apps;
  checks.${system} = import ./checks { inherit lib pkgs module settings profiles; };
  devShells.${system}.default = pkgs.callPackage ./dev-shell.nix { };
  formatter.${system} = pkgs.nixfmt-tree;
}
