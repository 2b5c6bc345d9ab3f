# The options rave.*; defaults come from rave.toml.
{ settings }:
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  inherit ((lib.importJSON ../facts.json).raveToml) features;
  t = import ../lib/types.nix { inherit lib; };
  fromToml = key: {
    default = lib.getAttrFromPath (lib.splitString "." key) settings;
    defaultText = lib.literalMD "`${key}` of `rave.toml`";
  };
  ofProfile = key: {
    default = settings.profiles.${config.rave.profile}.${key};
    defaultText = lib.literalMD "`${key}` of `profiles/NAME.toml`";
  };
  port = name: what: mkOption (fromToml "services.${name}.guest" // {
    type = t.port;
    example = 8080;
    description = "TCP port in the guest of ${what}.";
  });
in
{
  options.rave = {
    enable = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether this system is a RAVE sandbox: its user, services, tools and settings.";
    };
    profile = mkOption (fromToml "defaults.profile" // {
      type = types.enum (lib.attrNames settings.profiles);
      example = "headless";
      description = "The profile, which sets the default of `rave.features` and `rave.hardened`.";
    });
    features = mkOption (ofProfile "features" // {
      type = types.listOf (types.enum features);
      example = [ "desktop" "docker" ];
      description = "The features of the guest, in addition to what every guest has.";
    });
    hardened = mkOption (ofProfile "hardened" // {
      type = types.bool;
      example = true;
      description = "Whether to harden the guest: no passwords, SSH keys only, no root login, and a firewall that only opens the services' ports.";
    });
    user = mkOption (fromToml "guest.user" // {
      type = t.userName;
      example = "dev";
      description = "The user account of agents and services.";
    });
    password = mkOption {
      type = types.nullOr t.password;
      default = if config.rave.hardened then null else settings.guest.password;
      defaultText = lib.literalMD "`guest.password` of `rave.toml`; null where hardened";
      example = null;
      description = ''
        The user's initial password, which anyone with the image can read. Null disables password login.
      '';
    };
    hostName = mkOption (fromToml "guest.hostname" // {
      type = t.hostName;
      example = "sandbox";
      description = "The host name of the guest.";
    });
    gatewayNames = mkOption (fromToml "guest.gateway_names" // {
      type = types.listOf t.hostName;
      example = [ "box.example.org" ];
      description = "Host names that the gateway's pages are called by.";
    });
    authorizedKeys = mkOption (fromToml "guest.authorized_keys" // {
      type = types.listOf types.singleLineStr;
      example = [ "ssh-ed25519 AAAA... me@home" ];
      description = "SSH public keys that may log in as the user.";
    });
    certificates = mkOption {
      type = types.listOf types.path;
      default = map (path: ../.. + "/${path}") settings.guest.certificates;
      defaultText = lib.literalMD "`guest.certificates` of `rave.toml`";
      example = lib.literalExpression "[ ./corp-ca.pem ]";
      description = "Files in PEM with the certificates of authorities that the guest trusts besides the public ones.";
    };
    ports = {
      kanban = port "kanban" "Vibe Kanban";
      router = port "router" "Claude Code Router";
      gateway = port "gateway" "nginx, in front of both";
      ssh = port "ssh" "OpenSSH";
    };
    environment = mkOption {
      type = types.attrsOf types.singleLineStr;
      default = settings.extra.environment;
      defaultText = lib.literalMD "`extra.environment` of `rave.toml`";
      example = {
        EDITOR = "vim";
      };
      description = "Environment variables of the agent's shells and of the services.";
    };
    claude = mkOption (fromToml "tools.claude" // {
      type = types.enum (lib.importJSON ../facts.json).raveToml.claude;
      example = "first-boot";
      description = "Whether Claude Code is part of the system, or installed as locked when the machine first has a network.";
    });
    tools = mkOption {
      type = types.package;
      default = config.rave.packages.tools.override {
        withPlaywright = lib.elem "playwright" config.rave.features;
        withClaude = config.rave.claude == "baked";
      };
      defaultText = lib.literalExpression "pkgs.rave.tools";
      example = lib.literalExpression "pkgs.rave.tools.override { withPlaywright = true; }";
      description = "The npm tools: a folder with `node_modules` and `bin`.";
    };
    packages = mkOption {
      type = types.lazyAttrsOf types.raw;
      default = pkgs.rave or (import ../packages { inherit pkgs; });
      defaultText = lib.literalExpression "pkgs.rave";
      example = lib.literalExpression "inputs.rave.overlays.default pkgs pkgs";
      description = "RAVE's own packages.";
    };
    disk.device = mkOption {
      type = types.str;
      default = "nodev";
      example = "/dev/vda";
      description = ''
        The disk whose boot loader for BIOS `nixos-rebuild` inside the machine writes anew. With `nodev` it keeps the one of
        the image, which reads each new menu; the one for UEFI is a file in /boot and always renewed.
      '';
    };
    disk.espSize = mkOption {
      type = types.ints.between 64 16384;
      default = 512;
      example = 1024;
      description = "MiB of the disk's EFI system partition, which is /boot and holds the kernel and the initrd of each generation.";
    };
  };
}
