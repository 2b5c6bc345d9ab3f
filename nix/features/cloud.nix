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
    };
    environment.etc."cloud/cloud.cfg.d/95_rave.cfg".text = assets.fill values "cloud/cloud.cfg";
    services.qemuGuest.enable = true;
    virtualisation.vmware.guest = {
      enable = true;
      headless = !withNetworkManager;
    };
    # cloud-init makes or is given the host keys of its instance; what is missing then is made.
    systemd.packages = [
      (pkgs.linkFarm "rave-cloud-drop-ins" (
        lib.mapAttrsToList
          (unit: asset: {
            name = "lib/systemd/system/${unit}.service.d/rave-cloud.conf";
            path = assets.path "cloud/${asset}";
          })
          {
            rave-ssh-keys = "ssh-keys.conf";
            setup-agent-environment = "setup.conf";
          }
      ))
    ];
  };
}
