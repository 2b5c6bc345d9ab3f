# A disk in one format, made with `rave convert`: the same code as for the artifacts of the Debian base.
{ lib, pkgs, settings }:
{ profile, disk, format }:
let
  # What `rave` reads in its home: settings and profiles, and the files that determine compatibility.
  toml = pkgs.writeText "rave.toml" (import ../lib/rave-toml.nix { inherit lib; });
  home = lib.fileset.toSource {
    root = ../..;
    fileset = lib.fileset.unions [
      ../../profiles
      ../facts.json
      ../../docs/smoke-report.schema.json
    ];
  };
in
pkgs.runCommand "rave-${profile}-${format}"
  {
    nativeBuildInputs = [ pkgs.rave.rave pkgs.qemu-utils pkgs.zstd ];
    # The timestamp in archives such as an OVA: 2026-01-01, which is also rave's default.
    env.SOURCE_DATE_EPOCH = 1767225600;
    meta = {
      description = "${settings.profiles.${profile}.description}: ${format}";
      platforms = [ "x86_64-linux" ];
    };
  }
  ''
    cp --recursive ${home} checkout && chmod --recursive u+w checkout && cp ${toml} checkout/rave.toml && cd checkout
    # This `rave` is in the store, so it cannot find a checkout by itself.
    # Without a progress bar: nix gives builders a terminal, and logs everything drawn on it.
    export TERM=dumb
    export RAVE_HOME=$PWD HOME=$TMPDIR RAVE_STATE=$TMPDIR/state RAVE_CACHE=$TMPDIR/cache
    rave convert ${disk}/nixos.img --format ${format} --out $out
  ''
