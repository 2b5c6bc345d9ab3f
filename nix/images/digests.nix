# The digests that the installer verifies before it writes, in the format of sha256sum(1), for
# crates/guest/src/bin/rave-guest/install/medium.rs. `files`: { source, target } as in `isoImage.contents`.
{ lib, pkgs, files }:
let
  # Relative to the root of the medium; nixpkgs has targets such as "/boot//nix/store/...".
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
