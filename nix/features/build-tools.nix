# C and C++ compilers, make, and steam-run for programs of other distributions for which nix-ld is not enough.
{ config, lib, pkgs, ... }:
{
  config = lib.mkIf (config.rave.enable && lib.elem "build-tools" config.rave.features) {
    environment.systemPackages = [
      pkgs.gcc
      pkgs.gnumake
      pkgs.pkg-config
      # Valve's runtime is unfree and x86 only; elsewhere the free variant provides the same command.
      (if pkgs.stdenv.hostPlatform.isx86_64 then pkgs.steam-run else pkgs.steam-run-free)
    ];
  };
}
