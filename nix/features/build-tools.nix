# C and C++ compilers and make; and steam-run, for programs that were built for another distribution and that nix-ld
# alone does not satisfy.
{ config, lib, pkgs, ... }:
{
  config = lib.mkIf (config.rave.enable && lib.elem "build-tools" config.rave.features) {
    environment.systemPackages = [
      pkgs.gcc
      pkgs.gnumake
      pkgs.pkg-config
      # Valve's runtime is for x86 alone and not free; elsewhere the free variant has the same command.
      (if pkgs.stdenv.hostPlatform.isx86_64 then pkgs.steam-run else pkgs.steam-run-free)
    ];
  };
}
