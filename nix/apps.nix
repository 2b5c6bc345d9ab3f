# `nix run`, `nix run .#run`, `nix run .#run-headless`: the default profile's machine.
{ lib, pkgs, settings, images }:
let
  app = description: program: {
    type = "app";
    inherit program;
    meta = { inherit description; };
  };
  window = app "Boot the default profile in a window" (lib.getExe images.qemu);
  headless = pkgs.writeShellScript "run-headless" ''exec ${lib.getExe images.qemu} --headless "$@"'';
in
{
  default = window;
  run = window;
  run-headless = app "Boot the default profile with the serial console in this terminal" "${headless}";
}
