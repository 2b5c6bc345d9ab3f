# rave.toml, profiles/*.toml and, where there is one, rave.local.toml, checked. Every other file takes settings from here.
{
  lib,
  # The folder of rave.toml.
  root ? ../.,
}:
let
  read = name: builtins.fromTOML (builtins.readFile (root + "/${name}"));
  has = name: builtins.pathExists (root + "/${name}");

  files = lib.optionalAttrs (has "profiles") (
    lib.filterAttrs (name: _: lib.hasSuffix ".toml" name) (builtins.readDir (root + "/profiles"))
  );
  profiles = lib.mapAttrs' (
    file: _: lib.nameValuePair (lib.removeSuffix ".toml" file) (read "profiles/${file}")
  ) files;

  base = read "rave.toml";
  withProfiles =
    if profiles == { } then
      base
    else
      # A table of rave.toml that is none is told by the schema.
      base // { profiles = if builtins.isAttrs (base.profiles or { }) then lib.recursiveUpdate (base.profiles or { }) profiles else base.profiles; };
  # Key by key; a list replaces a list. Git ignores this file, so a flake does not see it: `nix-build` does.
  document = if has "rave.local.toml" then lib.recursiveUpdate withProfiles (read "rave.local.toml") else withProfiles;

  checked = import ./lib/schema.nix { inherit lib; } document;
  place =
    problem:
    let
      file = lib.findFirst (name: lib.hasInfix "profiles.${name}." problem || lib.hasInfix "[profiles.${name}]" problem) null (
        lib.attrNames profiles
      );
    in
    if file == null then "rave.toml: ${problem}" else "profiles/${file}.toml: ${problem}";
in
if checked.problems == [ ] then
  checked.settings
else
  throw "the configuration is wrong\n${lib.concatMapStringsSep "\n" place checked.problems}"
