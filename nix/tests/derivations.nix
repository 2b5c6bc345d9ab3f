# The derivation of every output by name, for ci/eval-flake.
{ nixpkgs }:
let
  lib = import (nixpkgs + "/lib");
  inherit ((import ../../default.nix { nixpkgs = /. + nixpkgs; })) outputs;

  # `apps` have a program instead of a derivation.
  path =
    value:
    value.drvPath
      or (builtins.unsafeDiscardStringContext value.program or value.config.system.build.toplevel.drvPath);
in
lib.concatMapAttrs (
  kind: values: lib.mapAttrs' (name: value: lib.nameValuePair "${kind}.${name}" (path value)) values
) {
  packages = outputs.packages.x86_64-linux;
  checks = outputs.checks.x86_64-linux;
  devShells = outputs.devShells.x86_64-linux;
  apps = outputs.apps.x86_64-linux;
  formatter.x86_64-linux = outputs.formatter.x86_64-linux;
  inherit (outputs) nixosConfigurations;
}
