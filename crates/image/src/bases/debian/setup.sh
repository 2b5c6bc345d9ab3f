# Runs before the first package is unpacked; $1 is the new root.
set -eu
tools="$1/usr/share/initramfs-tools"
mkdir -p "$1/etc/initramfs-tools/conf.d" "$tools/hooks"

# Only what finds the root file system, instead of every storage and network driver: a third of the size,
# and the boot loader reads it through the firmware's slow disk calls.
cat > "$1/etc/initramfs-tools/conf.d/rave" <<'EOF'
MODULES=list
COMPRESS=zstd
COMPRESSLEVEL=9
RESUME=none
EOF

# Drivers named in initramfs-tools' own list are all loaded at every boot; these are there for udev to
# load where the hardware is. Its database of hardware names, 13 MB, has no say in finding a disk.
cat > "$tools/hooks/zz-rave" <<'EOF'
#!/bin/sh
case "$1" in prereqs) echo udev; exit ;; esac
. /usr/share/initramfs-tools/hook-functions
manual_add_modules virtio_pci virtio_blk virtio_scsi
manual_add_modules ahci ata_piix nvme sd_mod sr_mod
manual_add_modules vmw_pvscsi mptspi mptsas
manual_add_modules usb_storage uas xhci_pci ehci_pci uhci_hcd
manual_add_modules ext4
# A live session from the ISO.
manual_add_modules isofs squashfs loop overlay
rm -f "$DESTDIR/usr/lib/udev/hwdb.bin" "$DESTDIR/etc/udev/hwdb.bin"
EOF
chmod 755 "$tools/hooks/zz-rave"
