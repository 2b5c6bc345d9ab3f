# Sound in programs and on the desktop, activated by sockets.
{ config, lib, pkgs, ... }:
{
  config = lib.mkIf (config.rave.enable && lib.elem "sound" config.rave.features) {
    security.rtkit.enable = true;
    services.pipewire = {
      enable = true;
      pulse.enable = true;
      alsa.enable = true;
      wireplumber.enable = true;
    };
    environment.systemPackages = [ pkgs.xfce4-pulseaudio-plugin ];
  };
}
