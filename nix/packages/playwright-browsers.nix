# The system's Chromium in the layout of Playwright's own downloads: PLAYWRIGHT_BROWSERS_PATH.
{ lib, linkFarm, writeText, chromium }:
let
  inherit ((lib.importJSON ../facts.json).guest) browsers;
  of =
    browser:
    let
      folder = "${browser.folder}-${browsers.revision}";
    in
    [
      {
        name = "${folder}/${browser.program}";
        path = lib.getExe chromium;
      }
      {
        # Without this mark Playwright considers the download incomplete.
        name = "${folder}/INSTALLATION_COMPLETE";
        path = writeText "INSTALLATION_COMPLETE" "";
      }
    ];
in
linkFarm "rave-playwright-browsers" (lib.concatMap of browsers.programs)
