# The files that both bases share: crates/guest/assets, with @name@ filled in as `crates/guest/src/assets/render.rs` does.
{ lib }:
let
  folder = ../../crates/guest/assets;
in
rec {
  # An asset's text, as it lies there.
  read = name: builtins.readFile (folder + "/${name}");

  # Its path, for files that need no filling in.
  path = name: folder + "/${name}";

  # `values`: name to text. A placeholder without a value is an error; at signs of other kinds (`@kanban_down;`,
  # `@system-service`) are not placeholders.
  fill =
    values: name:
    let
      keys = lib.attrNames values;
      text = builtins.replaceStrings (map (key: "@${key}@") keys) (map (key: toString values.${key}) keys) (read name);
      # Values are looked at too, and none holds a placeholder.
      left = lib.filter builtins.isList (builtins.split "@([a-z_]+)@" text);
    in
    if left == [ ] then
      text
    else
      throw "crates/guest/assets/${name}: no value for @${lib.head (lib.head left)}@";

  # The targets of `WantedBy=` in a unit's text.
  wantedBy =
    text:
    lib.concatMap (
      line:
      let
        found = builtins.match "WantedBy[[:space:]]*=(.*)" line;
      in
      if found == null then [ ] else lib.filter (word: word != "") (lib.splitString " " (lib.head found))
    ) (lib.splitString "\n" text);

  # The names of the units.
  units = lib.attrNames (
    lib.filterAttrs (name: _: !lib.hasSuffix ".conf" name) (builtins.readDir (folder + "/units"))
  );
}
