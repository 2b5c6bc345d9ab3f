# The smoke suite's checks in their order, from its registry: [ { name; title; feature; } ], feature null for every guest; without those of a live session.
{ lib }:
let
  rust = import ../lib/rust.nix { inherit lib; };
  source = "crates/smoke/src/registry.rs";
  inherit (rust) space string;
  parts = lib.splitString "pub const CHECKS: &[Check] = &[" (rust.read source);
  text = lib.head (lib.splitString "\n];" (lib.last parts));
  # `of("sound", check(Group, "name", "title", ...`, `check(Group, "name", ...`; rustfmt breaks lines where it likes.
  pattern = "(live[(]${space})?(of[(]${space}${string},${space})?check[(]${space}[A-Z][a-z]+,${space}${string},${space}${string}";
  found = map (groups: {
    # Of a live session alone, which no VM test has.
    live = lib.head groups != null;
    feature = lib.elemAt groups 2;
    name = lib.elemAt groups 3;
    title = lib.elemAt groups 4;
  }) (rust.matches pattern text);
  # Each entry calls `check(` once.
  entries = lib.length (rust.matches "check[(]" text);
in
if lib.length parts != 2 || found == [ ] || lib.length found != entries then
  throw "${source}: ${toString (lib.length found)} of ${toString entries} checks were understood; nix/checks/list.nix reads it"
else
  lib.filter (check: !check.live) found
