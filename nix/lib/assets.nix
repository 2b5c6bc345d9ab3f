# The files that both bases share: crates/guest/assets, with @name@ replaced as in `crates/guest/src/assets/render.rs`.
{ lib }:
let
  folder = ../../crates/guest/assets;
in
rec {
  # The text of an asset, unchanged.
  read = name: builtins.readFile (folder + "/${name}");

  # Its path, for files without placeholders.
  path = name: folder + "/${name}";

  # `values` maps names to texts. A placeholder without a value is an error; other at signs (`@kanban_down;`,
  # `@system-service`) are not placeholders.
  fill =
    values: name:
    let
      keys = lib.attrNames values;
      text = builtins.replaceStrings (map (key: "@${key}@") keys) (map (key: toString values.${key}) keys) (read name);
      # This also searches the values; none contains a placeholder.
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

  # The names of the units of every guest.
  units = lib.attrNames (
    lib.filterAttrs (name: _: !lib.hasSuffix ".conf" name && name != atFirstBoot) (builtins.readDir (folder + "/units"))
  );
  # The unit of a guest that installs Claude Code.
  atFirstBoot = (lib.importJSON ../facts.json).tools.claude.unit;
}
