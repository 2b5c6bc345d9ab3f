# The system's Chromium where Playwright's own download would lie: PLAYWRIGHT_BROWSERS_PATH.
{ lib, linkFarm, writeText, chromium }:
let
  rust = import ../lib/rust.nix { inherit lib; };
  source = "crates/guest/src/assets/playwright.rs";
  # ("version", "revision")
  found = rust.matches "BROWSERS_OF: [(]&str, &str[)] = [(]${rust.string}, ${rust.string}[)]" (rust.read source);
  revision =
    if lib.length found == 1 then lib.elemAt (lib.head found) 1 else throw "${source}: no BROWSERS_OF";
  of =
    browser: program:
    let
      folder = "${browser}-${revision}";
    in
    [
      {
        name = "${folder}/${program}";
        path = lib.getExe chromium;
      }
      {
        # Without this mark it would take the download for a broken one.
        name = "${folder}/INSTALLATION_COMPLETE";
        path = writeText "INSTALLATION_COMPLETE" "";
      }
    ];
in
linkFarm "rave-playwright-browsers" (
  of "chromium" "chrome-linux64/chrome"
  ++ of "chromium_headless_shell" "chrome-headless-shell-linux64/chrome-headless-shell"
)
