# The options rave.* as a page of Markdown.
{ lib, pkgs, profiles, settings }:
let
  root = toString ../.;
  docs = pkgs.nixosOptionsDoc {
    options = { inherit (profiles.${settings.defaults.profile}.options) rave; };
    # Files by their place in the repository, not in the store.
    transformOptions =
      option: option // { declarations = map (file: lib.removePrefix "${root}/" (toString file)) option.declarations; };
  };
in
pkgs.runCommand "rave-options" { } ''
  mkdir $out
  cp ${docs.optionsCommonMark} $out/options.md
''
