# A virtual X server for programs that need a screen.
{ config, lib, pkgs, ... }:
{
  config = lib.mkIf (config.rave.enable && lib.elem "virtual-screen" config.rave.features) {
    environment.systemPackages = [ pkgs.xvfb-run pkgs.xorg-server pkgs.xauth pkgs.xdpyinfo ];
  };
}
