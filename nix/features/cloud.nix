# cloud-init with the settings of the Debian base, and the agents of QEMU and VMware.
{ config, lib, pkgs, ... }:
let
  cfg = config.rave;
  assets = import ../lib/assets.nix { inherit lib; };
  withNetworkManager = lib.elem "desktop" cfg.features;
  values = {
    inherit (cfg) user;
    lock_password = lib.boolToString (cfg.hardened || cfg.password == null);
    network_renderer = if withNetworkManager then "network-manager" else "networkd";
  };
in
{
  config = lib.mkIf (cfg.enable && lib.elem "cloud" cfg.features) {
    services.cloud-init = {
      enable = true;
      network.enable = !withNetworkManager;
      settings = {
        # NixOS gives the instance's keys to root.
        users = [ "default" ];
        disable_root = true;
        # Here the server starts before cloud-init's module for it.
        ssh_deletekeys = false;
      };
    };
    environment.etc."cloud/cloud.cfg.d/95_rave.cfg".text = assets.fill values "cloud/cloud.cfg";
    # The services start after user data has created users, files and passwords.
    systemd.services.cloud-config.before = [ "setup-agent-environment.service" ];
    services.qemuGuest.enable = true;
    virtualisation.vmware.guest = {
      enable = true;
      headless = !withNetworkManager;
    };
    environment.systemPackages = [ pkgs.cloud-init config.services.qemuGuest.package ];
  };
}
