# The disk of every format: GPT with an ESP, a BIOS boot partition and an ext4 root, started by GRUB under BIOS and UEFI. GRUB's
# core images, which `rave disk-image` installs, read the menu in /boot that `nixos-rebuild` rewrites.
{ config, lib, pkgs, ... }:
let
  menu = builtins.readFile ../../crates/image/src/disk/grub.cfg;
in
{
  # Fixed instead of random, so that every build has the same UUIDs.
  fileSystems."/" = {
    device = "/dev/disk/by-uuid/5a1d0c3e-7d3f-4b7e-9a51-7261766572ff";
    fsType = "ext4";
    autoResize = true;
  };
  # By the partition's name: other systems and the ISO have a file system called ESP too, to which a rebuild would write its kernels.
  fileSystems."/boot" = {
    device = "/dev/disk/by-partlabel/esp";
    fsType = "vfat";
    options = [ "umask=0077" "nofail" ];
  };
  boot = {
    growPartition = true;
    loader = {
      timeout = 0;
      grub = {
        enable = true;
        device = config.rave.disk.device;
        efiSupport = true;
        efiInstallAsRemovable = true;
        # Each generation has its kernel and initrd in /boot, about 40 MB; a rebuild adds one before it removes the
        # oldest.
        configurationLimit = lib.mkDefault 5;
        # The core images contain no files for a graphical terminal, and the serial console needs none.
        font = lib.mkDefault null;
        # The serial console, the line that shows the host the progress of the boot, and older generations: with a
        # timeout of 0, GRUB never looks at the keyboard.
        extraConfig = lib.head (lib.splitString "function start" menu) + ''
          if keystatus --shift; then set timeout=-1; fi
        '';
        splashImage = null;
      };
    };
    kernelParams = [ "console=tty0" "console=ttyS0,115200" ];
    # Drivers for the root file system on the hardware of each format.
    initrd.availableKernelModules = [
      "virtio_pci"
      "virtio_blk"
      "virtio_scsi"
      "ahci"
      "ata_piix"
      "nvme"
      "sd_mod"
      "sr_mod"
      "mptsas"
      "vmw_pvscsi"
      "mptspi"
      "usb_storage"
      "uas"
      "xhci_pci"
      "ehci_pci"
      "uhci_hcd"
    ];
  };
  hardware.enableRedistributableFirmware = false;
  # The packages in the guest, for the disk and for bills of materials.
  system.build.raveClosure = pkgs.closureInfo { rootPaths = [ config.system.build.toplevel ]; };
  system.build.raveDisk = import ../images/disk.nix { inherit config lib pkgs; };
}
