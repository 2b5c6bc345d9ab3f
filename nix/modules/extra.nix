# [extra] of rave.toml: packages, units.
{ settings }:
{ config, lib, pkgs, ... }:
let
  assets = import ../lib/assets.nix { inherit lib; };
  package =
    name:
    lib.attrByPath (lib.splitString "." name)
      (throw "rave.toml: extra.packages: nixpkgs has no package ${builtins.toJSON name}")
      pkgs;
  unit =
    path:
    let
      text = builtins.readFile (
        if builtins.pathExists (../.. + "/${path}") then
          ../.. + "/${path}"
        else
          throw "rave.toml: extra.units: no file ${builtins.toJSON path}; flakes only see files known to git (git add)"
      );
      targets = assets.wantedBy text;
    in
    lib.nameValuePair (baseNameOf path) {
      inherit text;
      wantedBy = if targets == [ ] then [ "multi-user.target" ] else targets;
    };
in
{
  config = lib.mkIf config.rave.enable {
    environment.systemPackages = map package settings.extra.packages;
    systemd.units = lib.listToAttrs (map unit settings.extra.units);
  };
}
