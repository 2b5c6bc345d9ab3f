# Lists that are written once, in a Rust source, read from there. Text of rustfmt's form is all that is understood; what
# is not found stops the evaluation.
{ lib }:
let
  read = path: builtins.readFile (../.. + "/${path}");
  space = "[[:space:]]*";
  string = "\"([^\"]*)\"";
  # Lists of groups of every match.
  matches = pattern: text: lib.filter builtins.isList (builtins.split pattern text);
  some =
    path: what: found:
    if found == [ ] then throw "${path}: no ${what} was found; nix/lib/rust.nix reads it" else found;
in
{
  inherit read matches space string;

  # Values `Type { field: "text", ... }` with at least these fields in this order.
  records =
    path: type: fields:
    let
      pattern = "${type} [{]${space}" + lib.concatMapStringsSep ",${space}" (field: "${field}: ${string}") fields;
      record = groups: lib.listToAttrs (lib.zipListsWith lib.nameValuePair fields groups);
    in
    some path type (map record (matches pattern (read path)));

  # The text of `const NAME: &str = "text";`.
  text =
    path: name: lib.head (lib.head (some path name (matches "const ${name}: &str = ${string};" (read path))));

  # The strings of `const NAME: ... = [...];`, comments left out.
  strings =
    path: name:
    let
      after = lib.splitString "const ${name}:" (read path);
      value = lib.concatStringsSep "=" (lib.tail (lib.splitString "=" (lib.head (lib.splitString "];" (lib.last after)))));
      lines = lib.filter (line: builtins.match "${space}//.*" line == null) (lib.splitString "\n" value);
    in
    if lib.length after != 2 then
      throw "${path}: no const ${name}; nix/lib/rust.nix reads it"
    else
      some path name (map lib.head (matches string (lib.concatLines lines)));

  # The names of `closed_set! { Name, "thing" { Variant = "name", ... } }`, in their order.
  closedSet =
    path: name:
    let
      after = lib.splitString "    ${name}, \"" (read path);
      body = lib.head (lib.splitString "\n}" (lib.last after));
    in
    if lib.length after != 2 then
      throw "${path}: no closed_set! ${name}; nix/lib/rust.nix reads it"
    else
      some path name (map lib.head (matches "[A-Z][A-Za-z]* = ${string}" body));
}
