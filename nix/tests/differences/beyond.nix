# Rows for what only the NixOS guest has: sshd settings, packages, groups, open ports.
{ lib, row, names }:
{ system, debianPackages, groups }:
let
  inherit (system) config options;
  cfg = config.rave;
  account = config.users.users.${cfg.user};

  # Debian's own sshd_config, and sshd's defaults for the rest: sshd_config(5).
  debianSshd = {
    UsePAM = true;
    X11Forwarding = true;
    PrintMotd = false;
    StrictModes = true;
    GatewayPorts = "no";
    LogLevel = "INFO";
  };
  shared = map (line: lib.head (lib.splitString " " line)) (
    lib.splitString "\n" (builtins.readFile ../../../crates/guest/assets/sshd.conf)
  );
  isShared = keyword: lib.elem (if keyword == "UseDns" then "UseDNS" else keyword) shared;
  settings = lib.filterAttrs (keyword: value: value != null && !isShared keyword) config.services.openssh.settings;

  # Packages that files of this repository add.
  root = toString ../../..;
  definitions = lib.filter (definition: lib.hasPrefix root (toString definition.file)) options.environment.systemPackages.definitionsWithLocations;
  asked = lib.unique (map lib.getName (lib.concatMap (definition: lib.toList definition.value) definitions));
  known = lib.concatMap (name: lib.toList (names.${name} or name)) debianPackages;

  ports = lib.sort lib.lessThan (lib.unique (lib.attrValues cfg.ports));
  open = config.networking.firewall;
in
lib.mapAttrsToList (keyword: value: row "sshd beyond: ${keyword}" (debianSshd.${keyword} or "sshd's default") value) settings
++ map (name: row "package beyond: ${name}" (lib.elem name known) true) asked
++ map (group: row "group beyond: ${group}" (lib.elem group groups) true) account.extraGroups
++ [
  (row "ports that the firewall lets in" ports (lib.sort lib.lessThan (lib.unique open.allowedTCPPorts)))
  (row "other ports that the firewall lets in" [ ] (open.allowedUDPPorts ++ open.allowedTCPPortRanges ++ open.allowedUDPPortRanges))
  (row "user's shell" "bash" (baseNameOf (lib.getExe account.shell)))
  (row "user's main group" 1000 (config.users.groups.${account.group}.gid or null))
  (row "user's folder" "0750" account.homeMode)
]
