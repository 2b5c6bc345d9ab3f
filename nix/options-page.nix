# The options rave.* as a Markdown page.
{ lib, pkgs, profiles, settings }:
let
  root = toString ../.;
  docs = pkgs.nixosOptionsDoc {
    options = { inherit (profiles.${settings.defaults.profile}.options) rave; };
    # Paths relative to the repository, not to the store.
    transformOptions =
      option: option // { declarations = map (file: lib.removePrefix "${root}/" (toString file)) option.declarations; };
  };
in
pkgs.runCommand "rave-options" { } ''
  mkdir $out
  cp ${docs.optionsCommonMark} $out/options.md
''
