# The desktop over VNC, on loopback, with a password that `rave-guest setup` makes.
{ config, lib, pkgs, ... }:
let
  cfg = config.rave;
  assets = import ../lib/assets.nix { inherit lib; };
  values = {
    vnc_server = "${pkgs.tigervnc}/bin/x0vncserver";
    # Display 0 by RFC 6143, section 1.
    vnc_port = 5900;
  };
in
{
  config = lib.mkIf (cfg.enable && lib.elem "vnc" cfg.features) {
    systemd.user.units."rave-vnc.service".text = assets.fill values "vnc/rave-vnc.service";
    environment.etc."xdg/autostart/rave-vnc.desktop".source = assets.path "vnc/rave-vnc.desktop";
    environment.systemPackages = [ pkgs.tigervnc ];
  };
}
