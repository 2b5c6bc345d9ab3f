# What is wrong with each file of crates/spec/tests/bad, by Nix and by Rust, as lists of problems: a difference is a name in
# the result. Places are left out, for Nix has none. Files that are no TOML, or that hold what Nix's TOML cannot, stop Nix
# itself: `unreadable` names them, and ci/eval-flake tries each by itself.
{ lib }:
let
  folder = ../../crates/spec/tests/bad;
  names = map (lib.removeSuffix ".toml") (
    lib.filter (lib.hasSuffix ".toml") (lib.attrNames (builtins.readDir folder))
  );
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

  lines = text: lib.filter (line: line != "") (lib.splitString "\n" text);
  # "rave.toml:20:34: services..." and "taken by X at rave.toml:19:20".
  without =
    line:
    lib.concatStrings (
      lib.filter builtins.isString (builtins.split "(^rave.toml:[0-9]+:[0-9]+: |; first at rave.toml:[0-9]+:[0-9]+| at rave.toml:[0-9]+:[0-9]+)" line)
    );
  rust = name: lib.sort lib.lessThan (map without (lines (builtins.readFile (folder + "/${name}.txt"))));
  nix =
    name: lib.sort lib.lessThan (check (builtins.fromTOML (builtins.readFile (folder + "/${name}.toml")))).problems;
  readable = lib.subtractLists unreadable names;
in
{
  inherit unreadable;
  compared = lib.length readable;
  different = lib.filterAttrs (_: both: both.nix != both.rust) (
    lib.genAttrs readable (name: {
      nix = nix name;
      rust = rust name;
    })
  );
}
