# The files that the workspace's crates are compiled from, and `besides`; a change elsewhere builds nothing again.
{ lib, besides ? [ ] }:
lib.fileset.toSource {
  root = ../..;
  fileset = lib.fileset.unions ([
    ../../Cargo.toml
    ../../Cargo.lock
    ../../crates
    ../../xtask
  ] ++ besides);
}
