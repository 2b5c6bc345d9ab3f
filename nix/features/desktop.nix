# Xfce with automatic login, Chromium, NetworkManager, and launchers for RAVE's services.
{ config, lib, pkgs, ... }:
let
  cfg = config.rave;
  assets = import ../lib/assets.nix { inherit lib; };
  inherit (import ../lib/values.nix { inherit config lib pkgs; }) values home;
  on = lib.elem "desktop" cfg.features;
  launchers = cfg.packages.launchers.override { inherit values; };
  sound = lib.elem "sound" cfg.features;
  panel = values // {
    sound_id = lib.optionalString sound ''        <value type="int" value="8"/>${"\n"}'';
    sound_plugin = lib.optionalString sound ''${"\n"}    <property name="plugin-8" type="string" value="pulseaudio"/>'';
  };
  channel = "xdg/xfce4/xfconf/xfce-perchannel-xml";
  # The flags of Debian's /etc/chromium.d.
  flags = lib.head (
    builtins.match ".*\\$CHROMIUM_FLAGS ([^\"]*)\".*" (lib.replaceStrings [ "\n" ] [ " " ] (assets.read "desktop/chromium-flags"))
  );
in
{
  config = lib.mkIf (cfg.enable && on) {
    services.xserver = {
      enable = true;
      desktopManager.xfce = {
        enable = true;
        enableScreensaver = false;
      };
      displayManager.lightdm = {
        enable = true;
        # As in crates/guest/assets/desktop/lightdm.conf: the X authority file is kept in memory.
        extraConfig = "user-authority-in-system-dir=true";
      };
      # Only modesetting: the other drivers are for hardware that virtual machines lack.
      videoDrivers = lib.mkDefault [ "modesetting" ];
      config = assets.read "desktop/xorg.conf";
      excludePackages = [ pkgs.xterm ];
    };
    services.displayManager = {
      defaultSession = "xfce";
      autoLogin = {
        enable = true;
        inherit (cfg) user;
      };
    };
    services.spice-vdagentd.enable = true;
    # No accessibility bus and no thumbnailer.
    services.gnome.at-spi2-core.enable = lib.mkForce false;
    services.tumbler.enable = lib.mkDefault false;

    networking.networkmanager = {
      enable = true;
      # A sandbox needs no VPN.
      plugins = lib.mkForce [ ];
    };
    networking.modemmanager.enable = false;
    programs.nm-applet.enable = true;
    users.users.${cfg.user}.extraGroups = [ "networkmanager" ];
    systemd.services.NetworkManager-wait-online.enable = false;

    programs.chromium.enable = true;
    fonts.packages = [ pkgs.dejavu_fonts ];
    environment.systemPackages = [
      (pkgs.chromium.override { commandLineArgs = flags; })
      launchers
      pkgs.xdg-utils
      pkgs.adwaita-icon-theme
      # The browser's name in Debian's alternatives.
      (pkgs.writeShellScriptBin "x-www-browser" ''exec chromium "$@"'')
      pkgs.xrandr
      pkgs.xset
      pkgs.xdpyinfo
      pkgs.xprop
      pkgs.xwininfo
    ];
    environment.xfce.excludePackages = [
      pkgs.xfce4-power-manager
      pkgs.xfce4-screensaver
      pkgs.parole
    ];

    environment.etc = {
      "NetworkManager/conf.d/50-rave.conf".source = assets.path "desktop/network-manager.conf";
      "xdg/xfce4/helpers.rc".source = assets.path "desktop/helpers.rc";
      "xdg/mimeapps.list".source = assets.path "desktop/mimeapps.list";
      "xdg/autostart/rave-screen.desktop".source = assets.path "desktop/follow-screen.desktop";
      "rave/follow-screen" = {
        source = assets.path "desktop/follow-screen";
        mode = "0755";
      };
      "${channel}/xfce4-session.xml".source = assets.path "desktop/session.xml";
      "${channel}/xsettings.xml".source = assets.path "desktop/settings.xml";
      "${channel}/xfwm4.xml".source = assets.path "desktop/window-manager.xml";
      "${channel}/xfce4-desktop.xml".source = assets.path "desktop/desktop.xml";
      "${channel}/xfce4-panel.xml".text = assets.fill panel "desktop/panel.xml";
      # Recommended, not mandatory: the user may choose another page.
      "chromium/policies/recommended/rave.json".text = assets.fill values "desktop/chromium-policy.json";
    };
    # Xfce starts an executable desktop entry without asking.
    systemd.tmpfiles.rules = [
      "d ${home}/Desktop 0755 ${cfg.user} users -"
    ]
    ++ map (
      id: "C ${home}/Desktop/${id}.desktop 0755 ${cfg.user} users - ${launchers}/share/applications/${id}.desktop"
    ) launchers.ids;

    # Programs started over SSH find the desktop's screen.
    environment.loginShellInit = ''
      if [ -z "$DISPLAY" ] && [ -r "/run/lightdm/$USER/xauthority" ]; then
        export DISPLAY=:0 XAUTHORITY="/run/lightdm/$USER/xauthority"
      fi
    '';
    # No accessibility bus; the ICE authority file in memory, so that a session starts on a full disk.
    services.xserver.displayManager.sessionCommands = ''
      export NO_AT_BRIDGE=1 ICEAUTHORITY="$XDG_RUNTIME_DIR/ICEauthority"
    '';
  };
}
