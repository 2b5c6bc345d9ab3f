# The desktop over VNC, on loopback, with a password that `rave-guest setup` makes.
{ config, lib, pkgs, ... }:
let
  cfg = config.rave;
  assets = import ../lib/assets.nix { inherit lib; };
  values = {
    vnc_server = "${pkgs.tigervnc}/bin/x0vncserver";
    vnc_port = (lib.importJSON ../facts.json).guest.vncPort;
  };
in
{
  config = lib.mkIf (cfg.enable && lib.elem "vnc" cfg.features) {
    systemd.user.units."rave-vnc.service".text = assets.fill values "vnc/rave-vnc.service";
    environment.etc."xdg/autostart/rave-vnc.desktop".source = assets.path "vnc/rave-vnc.desktop";
    environment.systemPackages = [ pkgs.tigervnc ];
  };
}
