# Compares the evaluated system of each profile with the guest of the Debian base. Both sides are normalised, with
# placeholders for what a base decides; a row is a pair that still differs. Intended differences have a reason in
# differences/meant.nix; a reason without a difference is reported as STALE.
{ nixpkgs }:
let
  tree = /. + nixpkgs;
  lib = import (tree + "/lib");
  inherit ((import ../../default.nix { nixpkgs = tree; })) outputs;
  assets = import ../lib/assets.nix { inherit lib; };
  facts = (lib.importJSON ../facts.json).guest;
  toml = builtins.fromTOML (builtins.readFile ../../rave.toml);

  # The nixpkgs names for Debian's packages. Null: NixOS provides it in another way.
  names = {
    "systemd-sysv" = "systemd";
    "systemd-repart" = null;
    "systemd-resolved" = "systemd";
    "libpam-systemd" = "systemd";
    udev = "systemd";
    "linux-image-amd64" = null;
    "initramfs-tools" = null;
    "openssh-server" = "openssh";
    "nginx-light" = null;
    "python3-pip" = "python3";
    "python3-venv" = "python3";
    virtualenv = "python3";
    "ca-certificates" = "nss-cacert";
    "xserver-xorg-core" = "xorg-server";
    "xserver-xorg-input-libinput" = "xf86-input-libinput";
    "lightdm-gtk-greeter" = null;
    xfdesktop4 = "xfdesktop";
    "dbus-user-session" = "dbus";
    polkitd = "polkit";
    lxpolkit = "polkit-gnome";
    "librsvg2-common" = null;
    "fonts-dejavu-core" = null;
    "x11-utils" = [ "xprop" "xwininfo" "xdpyinfo" ];
    "x11-xserver-utils" = [ "xrandr" "xset" ];
    "network-manager" = "networkmanager";
    "network-manager-applet" = "network-manager-applet";
    "chromium-sandbox" = null;
    "pipewire-pulse" = "pipewire";
    "docker.io" = "docker";
    "docker-cli" = "docker";
    "build-essential" = [ "gcc-wrapper" "gnumake" ];
    xvfb = [ "xorg-server" "xvfb-run" ];
    "tigervnc-scraping-server" = "tigervnc";
    "tigervnc-tools" = "tigervnc";
  };

  meant = import ./differences/meant.nix { inherit lib; };

  row = what: debian: nixos: { inherit what debian nixos; };
  unitRows = import ./differences/units.nix { inherit lib facts assets row; };
  beyondRows = import ./differences/beyond.nix { inherit lib row names; };
  of =
    profile: system:
    let
      inherit (system) config;
      cfg = config.rave;
      values = (import ../lib/values.nix { inherit config lib; inherit (system) pkgs; }).values;
      # Replaces values of the base by their placeholders, the longest first.
      perBase = [ "path" "rave_guest" "pages" "tools" "node" "nginx" ];
      neutral =
        text:
        builtins.replaceStrings (map (name: "${values.${name}}") perBase) (map (name: "@${name}@") perBase) text;
      shared = removeAttrs values perBase;
      # `fill` would refuse the remaining placeholders.
      template = name: builtins.replaceStrings (map (key: "@${key}@") (lib.attrNames shared)) (map (key: toString shared.${key}) (lib.attrNames shared)) (assets.read name);

      unit =
        name:
        let
          text = template "units/${name}";
        in
        [
          (row "unit ${name}" text (neutral config.systemd.units.${name}.text))
          (row "wants of ${name}" (assets.wantedBy text) config.systemd.units.${name}.wantedBy)
        ];
      sshdText = assets.fill (values // { passwords = if cfg.hardened then "no" else "yes"; set_env = ""; }) "sshd.conf";
      settings = config.services.openssh.settings;
      said =
        value:
        if value == true then "yes" else if value == false then "no" else if builtins.isList value then lib.concatStringsSep " " value else toString value;
      sshd =
        line:
        let
          words = lib.splitString " " line;
          keyword = lib.head words;
          rest = lib.concatStringsSep " " (lib.tail words);
          own = if keyword == "UseDNS" then "UseDns" else keyword;
        in
        row "sshd ${line}" rest (
          if settings ? ${own} then said settings.${own}
          else if lib.hasInfix "\n${line}\n" "\n${config.services.openssh.extraConfig}\n" then rest
          else "absent"
        );
      lines = lib.filter (line: line != "" && !lib.hasPrefix "#" line) (lib.splitString "\n" sshdText);

      account = config.users.users.${cfg.user};
      held = map (package: lib.getName package) config.environment.systemPackages;
      package =
        name:
        let
          own = lib.toList (names.${name} or name);
        in
        row "package ${name}" "held" (if lib.all (own: lib.elem own held) own then "held" else "absent");
      packages = toml.debian.packages ++ lib.concatMap (feature: toml.debian.features.${feature}) cfg.features;
    in
    lib.concatMap unit assets.units
    ++ [
      (row "nginx.conf" (template "nginx.conf") (neutral config.environment.etc."rave/nginx.conf".text))
      (row "user's number" facts.userId account.uid)
      (row "user's home" "/home/${toml.guest.user}" account.home)
      (row "user's password" (if cfg.hardened then null else toml.guest.password) account.initialPassword)
      (row "host name" toml.guest.hostname config.networking.hostName)
      (row "features" (lib.importTOML (../../profiles + "/${profile}.toml")).features or [ ] cfg.features)
      (row "sudo" false config.security.sudo.wheelNeedsPassword)
      (row "unit ssh.service" "ssh.service" (if config.systemd.units ? "ssh.service" then "ssh.service" else "sshd.service"))
    ]
    ++ map (name: row "port of ${name}" toml.services.${name}.guest cfg.ports.${name}) (lib.attrNames toml.services)
    ++ map (group: row "group ${group}" true (lib.elem group account.extraGroups)) facts.groups
    ++ map sshd lines
    ++ map package packages
    ++ unitRows {
      inherit config;
      values = neutral;
      text = template;
    }
    ++ beyondRows {
      inherit system;
      inherit (facts) groups;
      debianPackages = packages;
    };

  rows = lib.mapAttrs of outputs.nixosConfigurations;
  differing = lib.mapAttrs (_: lib.filter (row: row.debian != row.nixos)) rows;
  tell =
    profile: row: "${profile} | ${row.what} | ${meant.${row.what} or "UNEXPLAINED: ${builtins.toJSON row.debian} | ${builtins.toJSON row.nixos}"}";
  # Reasons for rows that do not differ or no longer exist.
  stale = lib.subtractLists (map (row: row.what) (lib.concatLists (lib.attrValues differing))) (lib.attrNames meant);
in
lib.concatStringsSep "\n" (
  lib.mapAttrsToList (profile: all: "${profile} | ${toString (lib.length all)} rows compared") rows
  ++ lib.concatLists (lib.mapAttrsToList (profile: map (tell profile)) differing)
  ++ map (what: "STALE | ${what} | ${meant.${what}}") stale
)
