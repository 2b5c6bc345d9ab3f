# `nix flake check`: the smoke suite in a machine of each profile and in a hardened one, and checks that need no build.
{ lib, pkgs, module, settings, profiles }:
let
  # A function rather than a value of this scope, so that the evaluated system, about 300 MiB, can be freed.
  smoke =
    name: arguments:
    let
      test = _: import ./smoke.nix { inherit lib pkgs module; } ({ inherit name; } // arguments);
    in
    # `.test.driverInteractive` is a machine for experiments.
    pkgs.runCommand "rave-smoke-${name}" { passthru.test = test { }; } "ln --symbolic ${test { }} $out";
  badDisks = import ./disk.nix { inherit lib profiles; };
  badSettings = import ../tests/bad-settings.nix { inherit lib; };
in
lib.mapAttrs' (
  profile: _: lib.nameValuePair "smoke-${profile}" (smoke profile { inherit profile; })
) settings.profiles
// {
  smoke-hardened = smoke "hardened" {
    profile = settings.defaults.profile;
    hardened = true;
  };
  # Nix must refuse everything that Rust refuses.
  bad-settings =
    if !badSettings.goodIsAccepted then
      throw "the options of nix/lib/options.nix refuse crates/spec/tests/good.toml"
    else if !badSettings.layersAreMerged then
      throw "a higher layer does not override single keys of a lower one"
    else if badSettings.accepted != [ ] then
      throw "Rust refuses these settings and Nix accepts them: ${toString badSettings.accepted}"
    else
      pkgs.runCommand "rave-bad-settings" { } "echo ${toString badSettings.compared} texts > $out";
  # Lessons from real boots, checked for every profile.
  disk =
    if badDisks != [ ] then
      throw (lib.concatStringsSep "; " badDisks)
    else
      pkgs.runCommand "rave-disk-settings" { } "touch $out";
}
