# The values of the assets' placeholders for one system, and the guest's own configuration file.
{ config, lib, pkgs }:
let
  cfg = config.rave;
in
rec {
  version = (lib.importTOML ../../Cargo.toml).workspace.package.version;
  home = config.users.users.${cfg.user}.home;
  node = lib.getExe cfg.packages.nodejs;
  pages = cfg.packages.pages.override { inherit values; };

  # The search path of services, after the user's own folder.
  searchPath = lib.concatStringsSep ":" [
    "/run/wrappers/bin"
    "/etc/profiles/per-user/${cfg.user}/bin"
    "/nix/var/nix/profiles/default/bin"
    "/run/current-system/sw/bin"
    "/usr/local/bin"
    "/usr/bin"
    "/bin"
  ];

  values = {
    inherit home version node pages;
    inherit (cfg) user tools;
    claude = (lib.importJSON ../facts.json).tools.claude.program;
    host_name = cfg.hostName;
    rave_guest = lib.getExe cfg.packages.rave-guest;
    nginx = lib.getExe pkgs.nginx;
    path = "${home}/.local/bin:${searchPath}";
    kanban_port = cfg.ports.kanban;
    router_port = cfg.ports.router;
    gateway_port = cfg.ports.gateway;
    ssh_port = cfg.ports.ssh;
    allowed_users = if lib.elem "cloud" cfg.features then "*" else cfg.user;
    # As in crates/guest/src/assets/render.rs.
    gateway_names = lib.concatMapStrings (
      name: "\n        \"~*^${lib.replaceStrings [ "." ] [ "\\." ] name}(:[0-9]+)?$\" 1;"
    ) cfg.gatewayNames;
  };

  # The format is defined in crates/guest/src/config.rs.
  guestJson = (pkgs.formats.json { }).generate "guest.json" ({
    inherit (cfg) user hardened features;
    inherit home version;
    host_name = cfg.hostName;
    services = cfg.ports;
    environment = lib.mapAttrsToList (name: value: [ name value ]) cfg.environment;
    tools = "${cfg.tools}";
    authorized_keys = cfg.authorizedKeys;
    gateway_names = cfg.gatewayNames;
    certificates = map baseNameOf cfg.certificates;
  }
  // lib.optionalAttrs (cfg.claude == "first-boot") { claude_at_first_boot = true; });
}
