# One profile as a whole system, with the disk that all its formats are made from.
{
  nixpkgs,
  lib,
  pkgs,
  module,
  settings,
  name,
}:
import (nixpkgs + "/nixos/lib/eval-config.nix") {
  inherit lib;
  # From pkgs.
  system = null;
  modules = [
    (nixpkgs + "/nixos/modules/misc/nixpkgs/read-only.nix")
    module
    ./modules/disk.nix
    ./modules/live.nix
    {
      nixpkgs.pkgs = pkgs;
      rave = {
        enable = true;
        profile = name;
      };
    }
  ];
}
