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
  # Wrong files are told alike by Nix and by Rust.
  bad-settings =
    if badSettings.different == { } then
      pkgs.runCommand "rave-bad-settings" { } "echo ${toString badSettings.compared} files > $out"
    else
      throw "Nix and Rust do not tell the same of crates/spec/tests/bad.toml:\n${builtins.toJSON badSettings.different}";
}
