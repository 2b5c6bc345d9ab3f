# Menu entries and icons, one for each page of the gateway.
{ lib, linkFarm, writeText, values }:
let
  assets = import ../lib/assets.nix { inherit lib; };
  inherit ((lib.importJSON ../facts.json).guest) launchers;
  icon = launcher: "share/icons/hicolor/scalable/apps/${launcher.id}.svg";
  entry =
    launcher:
    assets.fill (
      values
      // {
        inherit (launcher) name comment;
        path_of_page = launcher.path;
        # A name of the icon theme.
        icon = launcher.id;
      }
    ) "desktop/launcher.desktop";
in
linkFarm "rave-launchers" (
  lib.concatMap (launcher: [
    {
      name = "share/applications/${launcher.id}.desktop";
      path = writeText "${launcher.id}.desktop" (entry launcher);
    }
    {
      name = icon launcher;
      path = assets.path "desktop/${launcher.id}.svg";
    }
  ]) launchers
)
// {
  ids = map (launcher: launcher.id) launchers;
}
