# `nix flake check`: for each profile a machine that passes the smoke suite's checks, a hardened one, and what must hold
# before anything is built.
{ lib, pkgs, module, settings }:
let
  # The test is a function and no name of this scope: what it evaluated, a whole system of some 300 MiB, is then forgotten.
  smoke =
    name: arguments:
    let
      test = _: import ./smoke.nix { inherit lib pkgs module; } ({ inherit name; } // arguments);
    in
    # `.test.driverInteractive` is the machine to try things in.
    pkgs.runCommand "rave-smoke-${name}" { passthru.test = test { }; } "ln --symbolic ${test { }} $out";
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
  # What Rust refuses, Nix refuses too.
  bad-settings =
    if !badSettings.goodIsAccepted then
      throw "the options of nix/lib/options.nix refuse crates/spec/tests/good.toml"
    else if badSettings.accepted != [ ] then
      throw "Rust refuses these settings and Nix accepts them: ${toString badSettings.accepted}"
    else
      pkgs.runCommand "rave-bad-settings" { } "echo ${toString badSettings.compared} texts > $out";
}
