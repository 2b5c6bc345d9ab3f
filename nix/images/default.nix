# Packages: each format of the default profile as FORMAT, of any profile as FORMAT-PROFILE. A profile has one disk, which
# `rave convert` turns into the formats. It is disk-PROFILE, and closure-PROFILE lists the
# paths on it.
{ lib, pkgs, settings, profiles }:
let
  inherit ((lib.importJSON ../facts.json).raveToml) formats;
  convert = import ./convert.nix { inherit lib pkgs settings; };
  of =
    profile: system:
    let
      disk = system.config.system.build.raveDisk;
      converted = format: convert { inherit profile disk format; };
    in
    lib.genAttrs (lib.remove "iso" formats) converted
    // {
      qemu = import ./with-runner.nix { inherit lib pkgs settings profile; image = converted "qemu"; };
      iso = system.config.system.build.raveIso;
    };
  all = lib.mapAttrs of profiles;
  named = lib.concatMapAttrs (
    profile: lib.mapAttrs' (format: lib.nameValuePair "${format}-${profile}")
  ) all;
  disks = lib.mapAttrs' (
    profile: system: lib.nameValuePair "disk-${profile}" system.config.system.build.raveDisk
  ) profiles;
  closures = lib.mapAttrs' (
    profile: system: lib.nameValuePair "closure-${profile}" system.config.system.build.raveClosure
  ) profiles;
in
named // disks // closures // all.${settings.defaults.profile}
