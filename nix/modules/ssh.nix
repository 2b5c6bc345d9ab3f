# OpenSSH with the settings of crates/guest/assets/sshd.conf as options, which a system may override.
{ config, lib, pkgs, ... }:
let
  cfg = config.rave;
  assets = import ../lib/assets.nix { inherit lib; };
  inherit (import ../lib/values.nix { inherit config lib pkgs; }) values;
  quoted = value: builtins.replaceStrings [ "\\" "\"" ] [ "\\\\" "\\\"" ] value;
  text = assets.fill (
    values
    // {
      passwords = if cfg.hardened || cfg.password == null then "no" else "yes";
      # Separate, because its values may refer to store paths and names of settings may not.
      set_env = "";
    }
  ) "sshd.conf";
  setEnv = "SetEnv ${
    lib.concatStringsSep " " (lib.mapAttrsToList (name: value: "\"${name}=${quoted value}\"") cfg.variables)
  }\n";

  # "Keyword value", without comments.
  lines = lib.filter (line: line != "" && !lib.hasPrefix "#" line) (lib.splitString "\n" text);
  pair = line: {
    name = lib.head (lib.splitString " " line);
    value = lib.concatStringsSep " " (lib.tail (lib.splitString " " line));
  };
  all = map pair lines;
  of = keyword: map (setting: setting.value) (lib.filter (setting: setting.name == keyword) all);

  # Keywords for which NixOS has dedicated options.
  elsewhere = [ "Port" "HostKey" "AuthorizedKeysFile" ];
  settings = lib.listToAttrs (lib.filter (setting: !lib.elem setting.name elsewhere) all);
  # NixOS spells this keyword differently.
  spelled = name: if name == "UseDNS" then "UseDns" else name;
  # "ssh_host_ed25519_key" -> "ed25519"
  kind = path: lib.elemAt (lib.splitString "_" (baseNameOf path)) 2;
  # nixpkgs passes the text through a here-document of the shell.
  hereDocument = lib.replaceStrings [ "\\" "$" "`" ] [ "\\\\" "\\$" "\\`" ];
  typed = name: value:
    if name == "AllowUsers" then lib.splitString " " value
    else if value == "yes" then true
    else if value == "no" && name != "PermitRootLogin" then false
    else value;
in
{
  config = lib.mkIf cfg.enable {
    services.openssh = {
      enable = true;
      ports = map lib.toInt (of "Port");
      # rave-ssh-keys.service generates them, in parallel and without RSA.
      generateHostKeys = false;
      hostKeys = map (path: {
        inherit path;
        type = kind path;
      }) (of "HostKey");
      # The last is NixOS's own, for keys of the configuration: a withdrawn key is gone after the next switch.
      authorizedKeysFiles = lib.mkForce (
        lib.concatMap (lib.splitString " ") (of "AuthorizedKeysFile") ++ [ "/etc/ssh/authorized_keys.d/%u" ]
      );
      settings = lib.mapAttrs' (
        name: value: lib.nameValuePair (spelled name) (lib.mkOverride 900 (typed name value))
      ) settings;
      # Its value may contain spaces and quotes.
      extraConfig = hereDocument setEnv;
    };
    # The name of the unit on the Debian base and in /healthz.
    systemd.services.sshd.aliases = [ "ssh.service" ];
    users.users.${cfg.user}.openssh.authorizedKeys.keys = cfg.authorizedKeys;
  };
}
