# A hardened guest accepts only keys; evaluation fails if any account has a password.
{ config, lib, ... }:
let
  cfg = config.rave;
  hasPassword =
    account:
    lib.any (value: value != null && !lib.hasPrefix "!" value && value != "*") [
      account.password
      account.initialPassword
      account.hashedPassword
      account.initialHashedPassword
    ];
  open = lib.attrNames (lib.filterAttrs (_: account: hasPassword account) config.users.users);
in
{
  config = lib.mkIf (cfg.enable && cfg.hardened) {
    assertions = [
      {
        assertion = open == [ ];
        message = "rave.hardened: these accounts have a password: ${lib.concatStringsSep ", " open}. Set rave.password = null, and hashedPassword = \"!\" for others.";
      }
      {
        assertion = config.networking.firewall.enable;
        message = "rave.hardened: networking.firewall.enable is false.";
      }
    ];
    users.users.root.hashedPassword = lib.mkDefault "!";
    networking.firewall.enable = lib.mkDefault true;
  };
}
