# The raw disk of a profile, by nixpkgs' own builder, with a hybrid GPT for BIOS and UEFI.
{ config, lib, pkgs }:
import (pkgs.path + "/nixos/lib/make-disk-image.nix") {
  inherit config lib pkgs;
  name = "rave-disk";
  baseName = "nixos";
  format = "raw";
  partitionTableType = "hybrid";
  # Grows to the machine's disk at the first boot.
  diskSize = "auto";
  additionalSpace = "256M";
  bootSize = "128M";
  copyChannel = false;
  # The same as in nix/modules/disk.nix.
  rootGPUID = "5A1D0C3E-7D3F-4B7E-9A51-7261766572FE";
  rootFSUID = "5a1d0c3e-7d3f-4b7e-9a51-7261766572ff";
  contents = import ./etc-nixos.nix { inherit config lib pkgs; };
}
