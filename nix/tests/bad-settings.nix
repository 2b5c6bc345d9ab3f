# What is wrong with each case of crates/spec/tests/bad.toml, by Nix and by Rust, as lists of problems: a difference is a name
# in the result. Places are left out, for Nix has none. Texts that are no TOML, or that hold what Nix's TOML cannot, stop Nix
# itself: `unreadable` names them, and ci/eval-flake tries each by itself.
{ lib }:
let
  good = builtins.readFile ../../crates/spec/tests/good.toml;
  cases = builtins.fromTOML (builtins.readFile ../../crates/spec/tests/bad.toml);
  # good.toml after the case's edits, or the case's own text.
  edited = lib.foldl' (
    text: edit: builtins.replaceStrings [ (lib.head edit) ] [ (lib.last edit) ] text
  ) good;
  texts = lib.mapAttrs (_: case: case.text or (edited case.edits)) cases;
  names = lib.attrNames cases;
  check = import ../lib/schema.nix { inherit lib; };
  unreadable = [
    "cpus-date"
    "duplicate-key"
    "duplicate-table"
    "inline-table-of-toml-1-1"
    "password-nul"
    "port-beyond-128-bits"
    "syntax-bare-word"
    "syntax-no-value"
    "syntax-open-list"
    "syntax-open-string"
    "syntax-two-at-once"
  ];

  # "rave.toml:20:34: services..." and "taken by X at rave.toml:19:20".
  without =
    line:
    lib.concatStrings (
      lib.filter builtins.isString (builtins.split "(^rave.toml:[0-9]+:[0-9]+: |; first at rave.toml:[0-9]+:[0-9]+| at rave.toml:[0-9]+:[0-9]+)" line)
    );
  rust = name: lib.sort lib.lessThan (map without cases.${name}.expect);
  nix = name: lib.sort lib.lessThan (check (builtins.fromTOML texts.${name})).problems;
  readable = lib.subtractLists unreadable names;
in
{
  inherit texts unreadable;
  compared = lib.length readable;
  different = lib.filterAttrs (_: both: both.nix != both.rust) (
    lib.genAttrs readable (name: {
      nix = nix name;
      rust = rust name;
    })
  );
}
