# Every output's derivation by the output's name, for ci/eval-flake: those of one profile (the default one's with all that has no
# profile's name), for all at once hold 3.6 GiB. Without `part`, the names of the parts.
{
  nixpkgs,
  part ? null,
}:
let
  lib = import (nixpkgs + "/lib");
  inherit ((import ../../default.nix { nixpkgs = /. + nixpkgs; })) outputs;

  # `apps` have a program and no derivation of their own.
  path =
    value:
    value.drvPath
      or (builtins.unsafeDiscardStringContext value.program or value.config.system.build.toplevel.drvPath);
  all = lib.concatMapAttrs (
    kind: values: lib.mapAttrs' (name: value: lib.nameValuePair "${kind}.${name}" (path value)) values
  ) {
    packages = outputs.packages.x86_64-linux;
    checks = outputs.checks.x86_64-linux;
    devShells = outputs.devShells.x86_64-linux;
    apps = outputs.apps.x86_64-linux;
    formatter.x86_64-linux = outputs.formatter.x86_64-linux;
    inherit (outputs) nixosConfigurations;
  };

  inherit (import ../settings.nix { inherit lib; }) defaults profiles;
  others = lib.remove defaults.profile (lib.attrNames profiles);
  of = profile: name: lib.hasSuffix "-${profile}" name || name == "nixosConfigurations.${profile}";
  wanted =
    if part == defaults.profile then name: !lib.any (profile: of profile name) others else of part;
in
if part == null then [ defaults.profile ] ++ others else lib.filterAttrs (name: _: wanted name) all
