# Authorities that the guest trusts besides the public ones: NixOS's own store, and files for programs that do not read it, as in
# crates/guest/src/assets/certificates.rs. What is refused here is refused by crates/image/src/certificates.rs too.
{ config, lib, ... }:
let
  cfg = config.rave;
  facts = (lib.importJSON ../facts.json).guest;

  # The certificates of a file, without surrounding text.
  read =
    path:
    let
      refuse = why: throw "rave.certificates: ${baseNameOf path}: ${why}";
      text = if builtins.pathExists path then builtins.readFile path else refuse "no such file; flakes only see files known to git (git add)";
      labels = map lib.head (lib.filter lib.isList (builtins.split "-----BEGIN ([^-\n]*)-----" text));
      other = lib.filter (label: label != "CERTIFICATE") labels;
      bodies = map lib.head (
        lib.filter lib.isList (builtins.split "-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=[:space:]]+)-----END CERTIFICATE-----" text)
      );
      base64 = map (lib.replaceStrings [ "\n" "\r" " " "\t" ] [ "" "" "" "" ]) bodies;
    in
    if lib.any (lib.hasInfix "PRIVATE KEY") labels then
      refuse "it holds a private key, which must not be in an image; leave only the certificates"
    else if other != [ ] then
      refuse "it holds a ${lib.head other}; only certificates may be in it"
    else if labels == [ ] then
      refuse "there is no certificate in it: -----BEGIN CERTIFICATE-----"
    else if lib.length bodies != lib.length labels then
      refuse "a certificate in it is damaged"
    else
      base64;
  all = lib.unique (lib.concatMap read cfg.certificates);

  # Lines of 64 characters (RFC 7468, section 2).
  lines =
    text:
    lib.genList (line: builtins.substring (line * 64) 64 text) ((lib.stringLength text + 63) / 64);
  pem =
    base64:
    "-----BEGIN CERTIFICATE-----\n${lib.concatStringsSep "\n" (lines base64)}\n-----END CERTIFICATE-----\n";
in
{
  config = lib.mkIf (cfg.enable && cfg.certificates != [ ]) {
    security.pki.certificates = map pem all;
    environment.etc = {
      ${lib.removePrefix "/etc/" facts.certificates}.text = lib.concatMapStrings pem all;
    }
    // lib.optionalAttrs (lib.elem "desktop" cfg.features) {
      "chromium/policies/managed/rave-certificates.json".text = builtins.toJSON { CACertificates = all; } + "\n";
    };
  };
}
