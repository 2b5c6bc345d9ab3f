# The sources of the workspace's crates, and `besides`; changes to other files trigger no rebuild.
{ lib, besides ? [ ] }:
lib.fileset.toSource {
  root = ../..;
  fileset = lib.fileset.unions ([
    ../../Cargo.toml
    ../../Cargo.lock
    ../../crates
    ../../xtask
    # `rave` embeds these to check its compatibility with a checkout.
    ../facts.json
    ../../docs/smoke-report.schema.json
  ] ++ besides);
}
