# RAVE's units and the gateway, from the same files as on the Debian base.
{ config, lib, pkgs, ... }:
let
  cfg = config.rave;
  assets = import ../lib/assets.nix { inherit lib; };
  inherit (import ../lib/values.nix { inherit config lib pkgs; }) values searchPath;
  unit = name: rec {
    text = assets.fill values "units/${name}";
    wantedBy = assets.wantedBy text;
  };
  atFirstBoot = cfg.claude == "first-boot";
  lowest = lib.foldl' lib.min 65535 [ cfg.ports.kanban cfg.ports.router cfg.ports.gateway ];

  # Debian's systemd has a default search path for units; NixOS's does not.
  units-of-programs = [ "install-claude-tools" "setup-agent-environment" "rave-ssh-keys" "rave-provide" "rave-health" "rave-ready" "rave-channel" "rave-template" "rave-install" "claude-code-router" ];
  drop-ins = pkgs.linkFarm "rave-drop-ins" (
    map (name: {
      name = "lib/systemd/system/${name}.service.d/path.conf";
      path = pkgs.writeText "path.conf" "[Service]\nEnvironment=PATH=${
        if name == "claude-code-router" then values.path else searchPath
      }\n";
    }) units-of-programs
    # OpenSSH's unit is called sshd here.
    ++ [
      {
        name = "lib/systemd/system/sshd.service.d/rave.conf";
        path = assets.path "units/ssh.conf";
      }
    ]
  );
in
{
  config = lib.mkIf cfg.enable {
    # As complete texts, so that NixOS adds no PATH and no setting is lost.
    systemd.units = lib.genAttrs (assets.units ++ lib.optional atFirstBoot assets.atFirstBoot) unit;
    systemd.packages = [ drop-ins ];

    # The installed program was built for other distributions.
    programs.nix-ld.enable = lib.mkIf atFirstBoot true;
    services.udev.extraRules = assets.read "channel.rules";

    environment.etc."rave/nginx.conf".text = assets.fill values "nginx.conf";
    systemd.tmpfiles.rules = [
      "d /etc/rave/gateway.d 0755 root root -"
      # The places of the tools' links and of the program on every base.
      "d /usr/local/bin 0755 root root -"
      "d /usr/lib/rave 0755 root root -"
      "C+ /usr/lib/rave/rave-guest 0755 root root - ${lib.getExe cfg.packages.rave-guest}"
    ];

    # No service runs as root, so the kernel must allow ports below 1024.
    boot.kernel.sysctl = lib.mkIf (lowest < 1024) { "net.ipv4.ip_unprivileged_port_start" = lowest; };

    networking.firewall.allowedTCPPorts = lib.attrValues cfg.ports;
  };
}
