# A screen without hardware, for programs that want one.
{ config, lib, pkgs, ... }:
{
  config = lib.mkIf (config.rave.enable && lib.elem "virtual-screen" config.rave.features) {
    environment.systemPackages = [ pkgs.xvfb-run pkgs.xorg-server pkgs.xauth pkgs.xdpyinfo ];
  };
}
