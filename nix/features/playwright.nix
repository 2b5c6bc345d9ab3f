# Playwright of the npm lock, which drives the system's Chromium: rave.tools holds it, rave.variables point to it.
{ config, lib, ... }:
let
  cfg = config.rave;
in
{
  config = lib.mkIf (cfg.enable && lib.elem "playwright" cfg.features) {
    assertions = [
      {
        assertion = lib.elem "desktop" cfg.features;
        message = "the feature playwright needs the feature desktop, which has the browser";
      }
    ];
  };
}
