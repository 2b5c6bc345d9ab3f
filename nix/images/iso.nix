# The ISO of a profile: a live session of its disk, and the installer that writes the disk to the machine. Written by
# the same code as the Debian base's ISO.
{ config, lib, pkgs }:
let
  inherit (config.system.build) raveDisk raveLiveArguments toplevel;
  inherit ((lib.importJSON ../facts.json)) iso;
in
pkgs.stdenvNoCC.mkDerivation {
  name = "rave-${config.rave.profile}-iso";
  nativeBuildInputs = map lib.getBin [ pkgs.rave.rave pkgs.dosfstools pkgs.grub2 pkgs.libisoburn pkgs.mtools pkgs.squashfsTools ];
  # 2026-01-01, which is also rave's default.
  env.SOURCE_DATE_EPOCH = 1767225600;
  # Everything that the disk refers to is on the disk.
  __structuredAttrs = true;
  unsafeDiscardReferences.out = true;
  buildCommand = ''
    mkdir $out
    cp --sparse=always ${raveDisk}/nixos.img ${baseNameOf iso.disk}
    rave iso-image --disk ${baseNameOf iso.disk} \
      --kernel ${toplevel}/kernel --initrd ${toplevel}/initrd \
      --arguments "init=${toplevel}/init $(cat ${toplevel}/kernel-params) ${raveLiveArguments}" \
      --grub ${pkgs.grub2}/lib/grub --grub ${pkgs.grub2_efi}/lib/grub \
      --out $out/nixos.iso
  '';
  meta = {
    description = "A live session of ${config.rave.profile} that installs it";
    platforms = [ "x86_64-linux" ];
  };
}
