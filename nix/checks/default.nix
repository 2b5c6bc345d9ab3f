# `nix flake check`: for each profile a machine that passes the smoke suite's checks, a hardened one, and what must hold
# before anything is built.
{ lib, pkgs, module, settings }:
let
  smoke = import ./smoke.nix { inherit lib pkgs module; };
  badSettings = import ../tests/bad-settings.nix { inherit lib; };
in
lib.mapAttrs' (
  profile: _: lib.nameValuePair "smoke-${profile}" (smoke { inherit profile; })
) settings.profiles
// {
  smoke-hardened = smoke {
    profile = settings.defaults.profile;
    hardened = true;
  };
  # Wrong files are told alike by Nix and by Rust.
  bad-settings =
    if badSettings.different == { } then
      pkgs.runCommand "rave-bad-settings" { } "echo ${toString badSettings.compared} files > $out"
    else
      throw "Nix and Rust do not tell the same of crates/spec/tests/bad:\n${builtins.toJSON badSettings.different}";
}
