# The text of rave.toml without [nixos], which configures how nix builds and must not change what is built. Comments stay.
# The whole text if the section is not a block of its own.
{ lib }:
let
  text = builtins.readFile ../../rave.toml;
  isHeader = line: builtins.match "[[:space:]]*[[].*" line != null;
  step =
    { kept, skipping }:
    line:
    let
      skip = if isHeader line then builtins.match "[[]nixos[].].*" line != null else skipping;
    in
    {
      kept = kept ++ lib.optional (!skip) line;
      skipping = skip;
    };
  first = {
    kept = [ ];
    skipping = false;
  };
  without = lib.concatStringsSep "\n" (lib.foldl' step first (lib.splitString "\n" text)).kept;
  # A line that looks like a header may be part of a list or a string.
  told = builtins.tryEval (builtins.fromTOML without == removeAttrs (builtins.fromTOML text) [ "nixos" ]);
in
if told.success && told.value then without else text
