# What every guest has: the user, the everyday tools, the network, Nix.
{ config, lib, pkgs, ... }:
let
  cfg = config.rave;
  assets = import ../lib/assets.nix { inherit lib; };
  inherit (import ../lib/values.nix { inherit config lib pkgs; }) values guestJson;
  facts = (lib.importJSON ../facts.json).guest;
  hostName = lib.splitString "." cfg.hostName;
  withNetworkManager = lib.elem "desktop" cfg.features;
in
{
  config = lib.mkIf cfg.enable {
    # NixOS keeps the domain apart.
    networking.hostName = lib.mkOverride 900 (lib.head hostName);
    networking.domain = lib.mkIf (lib.length hostName > 1) (
      lib.mkOverride 900 (lib.concatStringsSep "." (lib.tail hostName))
    );
    system.stateVersion = lib.mkDefault lib.trivial.release;
    time.timeZone = lib.mkDefault "UTC";
    documentation.enable = lib.mkDefault false;

    users.users.${cfg.user} = {
      isNormalUser = true;
      uid = facts.userId;
      homeMode = "0750";
      initialPassword = cfg.password;
      # `initialPassword = null` alone would still let another module set a password.
      hashedPassword = lib.mkIf (cfg.password == null) "!";
      extraGroups = [ "wheel" "adm" "audio" "video" "input" "render" "systemd-journal" ];
    };
    security.sudo.wheelNeedsPassword = false;
    security.sudo.extraConfig = assets.fill values "sudoers";

    environment.etc = {
      "rave/guest.json".source = guestJson;
      # Other git configuration, such as `programs.git`, takes precedence.
      "gitconfig".text = lib.mkDefault (assets.fill values "gitconfig");
      "systemd/journald.conf.d/rave.conf".source = assets.path "journald.conf";
      # As built by Debian: nothing listens on all addresses for local network names.
      "systemd/resolved.conf.d/rave.conf".text = "[Resolve]\nLLMNR=no\nMulticastDNS=no\n";
    }
    // lib.optionalAttrs (!withNetworkManager) {
      "systemd/network/80-rave.network".source = assets.path "network/80-rave.network";
    };
    systemd.shutdown.rave-screen-off = "${pkgs.writeScript "rave-screen-off" (assets.read "screen-off")}";
    users.motd = assets.fill values "motd";
    environment.loginShellInit = ''
      case $- in *i*) [ ! -r /run/rave/warnings ] || cat /run/rave/warnings ;; esac
      # What the host provides to a sandbox (rave-guest provide): NixOS has no profile.d.
      [ ! -r /etc/profile.d/rave-sandbox.sh ] || . /etc/profile.d/rave-sandbox.sh
    '';
    # The same for `ssh HOST COMMAND`: /etc/environment, which NixOS does not read (pam_env(8)).
    security.pam.services.sshd.rules.session.env.settings.readenv = lib.mkForce 1;
    programs.bash.interactiveShellInit = assets.read "denied.bash";

    # As on the Debian base, nothing waits for the network.
    networking = {
      useDHCP = false;
      useNetworkd = !withNetworkManager;
      firewall.enable = lib.mkDefault cfg.hardened;
    };
    systemd.network = {
      enable = !withNetworkManager;
      wait-online.enable = false;
    };
    services.resolved.enable = true;
    services.timesyncd.enable = lib.mkDefault true;

    # The agent's tools.
    environment.systemPackages =
      (with pkgs; [
        git
        curl
        wget
        vim
        (python3.withPackages (packages: [ packages.pip packages.virtualenv ]))
        rustc
        cargo
        # rustc calls its linker.
        gcc
        cacert
        iproute2
        procps
        less
        # Claude Code's own sandbox
        bubblewrap
        socat
      ])
      ++ [ cfg.packages.nodejs cfg.packages.rave-guest cfg.tools.commands ];

    # Programs that agents download expect the usual dynamic loader and libraries.
    programs.nix-ld = {
      enable = lib.mkDefault true;
      libraries = [ pkgs.stdenv.cc.cc.lib pkgs.zlib pkgs.openssl ];
    };
    services.envfs.enable = lib.mkDefault true;

    # `nix run`, `nix develop` and `nixos-rebuild switch` from a flake work inside.
    nix = {
      settings = {
        experimental-features = [ "nix-command" "flakes" ];
        trusted-users = [ "root" "@wheel" ];
        auto-optimise-store = lib.mkDefault true;
      };
      channel.enable = lib.mkDefault false;
    };
  };
}
