# Playwright of the npm lock, which drives the system's Chromium. rave.tools has the package, rave.variables its paths.
{ config, lib, ... }:
let
  cfg = config.rave;
in
{
  config = lib.mkIf (cfg.enable && lib.elem "playwright" cfg.features) {
    assertions = [
      {
        assertion = lib.elem "desktop" cfg.features;
        message = "the feature playwright requires the feature desktop, which provides the browser";
      }
    ];
  };
}
