# The digests of an ISO's files that the installer compares before it writes: sha256sum(1)'s lines, as
# crates/guest/src/bin/rave-guest/install/medium.rs reads them. `files`: { source, target } as in `isoImage.contents`.
{ lib, pkgs, files }:
let
  # Relative to the medium's root, as they lie there: nixpkgs writes "/boot//nix/store/...".
  place = target: lib.concatStringsSep "/" (lib.filter (part: part != "") (lib.splitString "/" target));
  places = map (file: place file.target) files;
  link =
    file:
    let
      at = lib.escapeShellArg "tree/${place file.target}";
    in
    "mkdir --parents \"$(dirname ${at})\" && ln --symbolic ${file.source} ${at}";
in
pkgs.runCommand "rave-iso-digests" { } ''
  ${lib.concatMapStringsSep "\n" link files}
  cd tree
  sha256sum -- ${lib.escapeShellArgs places} >$out
''
