# The files that the workspace's crates are compiled from; a change elsewhere builds nothing again.
{ lib }:
lib.fileset.toSource {
  root = ../..;
  fileset = lib.fileset.unions [
    ../../Cargo.toml
    ../../Cargo.lock
    ../../crates
    ../../xtask
  ];
}
