# The qemu artifact and bin/run-vm.sh, which starts it.
{ lib, pkgs, settings, profile, image }:
let
  inherit (settings) services vm;
  # Forwards the service's port on the host's loopback to the guest.
  forward = name: "hostfwd=tcp:127.0.0.1:${toString services.${name}.host}-:${toString services.${name}.guest}";
  script = pkgs.replaceVarsWith {
    src = ./run-vm.sh;
    isExecutable = true;
    dir = "bin";
    name = "run-vm.sh";
    replacements = {
      shell = pkgs.runtimeShell;
      path = lib.makeBinPath [ pkgs.qemu pkgs.coreutils ];
      image = "${image}/nixos.qcow2";
      forwards = lib.concatMapStringsSep "," forward (lib.attrNames services);
      memory = toString vm.memory;
      cpus = toString vm.cpus;
      disk = toString vm.disk;
      inherit profile;
    };
  };
in
pkgs.symlinkJoin {
  name = "rave-${profile}-qemu-with-runner";
  paths = [ image script ];
  meta = image.meta // {
    mainProgram = "run-vm.sh";
  };
}
