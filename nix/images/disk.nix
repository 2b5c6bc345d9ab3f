# The raw disk of a profile, written by the same code as the Debian base's disk. It needs no virtual machine, and the
# same closure gives the same bytes.
{ config, lib, pkgs }:
let
  inherit (config.system.build) toplevel;
  closure = config.system.build.raveClosure;
  files = import ./etc-nixos.nix { inherit config lib pkgs; };
  uuid = lib.removePrefix "/dev/disk/by-uuid/" config.fileSystems."/".device;
in
pkgs.stdenvNoCC.mkDerivation {
  name = "rave-disk";
  nativeBuildInputs = map lib.getBin [ pkgs.rave.rave pkgs.dosfstools pkgs.e2fsprogs pkgs.grub2 pkgs.mtools pkgs.util-linux ];
  # 2026-01-01, which is also rave's default.
  env.SOURCE_DATE_EPOCH = 1767225600;
  # Everything that the disk refers to is on the disk.
  __structuredAttrs = true;
  unsafeDiscardReferences.out = true;
  buildCommand = ''
    # nix gives builders a terminal, and logs everything drawn on it.
    export TERM=dumb
    mkdir $out
    rave disk-image \
      --registration ${closure}/registration --system ${toplevel} --files ${files} \
      --kernel ${toplevel}/kernel --initrd ${toplevel}/initrd \
      --arguments "init=${toplevel}/init $(cat ${toplevel}/kernel-params)" \
      --root-uuid ${uuid} --esp-mib ${toString config.rave.disk.espSize} \
      --grub ${pkgs.grub2}/lib/grub --grub ${pkgs.grub2_efi}/lib/grub \
      --out $out/nixos.img
  '';
  meta.platforms = [ "x86_64-linux" ];
}
