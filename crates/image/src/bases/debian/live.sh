# Runs before the first package is unpacked; $1 is the new root. Scripts of the initrd that start a live session from the
# ISO: they act only when the kernel's arguments say `rave.live=LABEL`, the label of the ISO's volume.
set -eu
scripts="$1/usr/share/initramfs-tools/scripts"
mkdir -p "$scripts/local-top" "$scripts/local-bottom"

# Attaches the root file system that lies in disk.raw, in a squashfs, on the medium. Loop devices by number, because the
# initrd's own losetup takes no other.
cat > "$scripts/local-top/rave-live" <<'EOF'
#!/bin/sh
case "$1" in prereqs) exit ;; esac
label= offset=
read -r arguments < /proc/cmdline
for argument in $arguments; do
	case "$argument" in
	rave.live=*) label="${argument#*=}" ;;
	rave.root-offset=*) offset="${argument#*=}" ;;
	esac
done
[ -n "$label" ] || exit 0
. /scripts/functions
medium=/run/rave/medium image=/run/rave/image
mkdir -p "$medium" "$image"
modprobe -a isofs squashfs overlay loop
# The label as it lies on the medium (ECMA-119, 8.4: the 32 bytes at 40 of sector 16), because this udev knows no CDs.
find_medium() {
	for device in /sys/class/block/*; do
		device="/dev/${device##*/}"
		case "$device" in /dev/loop*|/dev/ram*) continue ;; esac
		case "$(dd "if=$device" bs=8 skip=4101 count=4 2>/dev/null)" in "$label "*) return ;; esac
	done
	false
}
# A slow USB stick or a drive that spins up comes late.
tries=0
until find_medium; do
	tries=$((tries + 1))
	if [ "$tries" = 150 ]; then
		panic "rave: no medium with the label $label was found: is it plugged in, and does this machine's kernel know its drive?"
	fi
	sleep 0.2
done
mount -t iso9660 -o ro "$device" "$medium" &&
	losetup /dev/loop0 "$medium/rave/disk.squashfs" &&
	mount -t squashfs -o ro /dev/loop0 "$image" &&
	losetup -o "$offset" /dev/loop1 "$image/disk.raw" ||
	panic "rave: the medium $label cannot be read: write it again"
# By its device: a machine that RAVE was installed to has a root file system of the same UUID.
echo "ROOT=/dev/loop1" >> /conf/param.conf
echo "rave: live medium found"
EOF

# Lays memory over the root file system.
cat > "$scripts/local-bottom/rave-live" <<'EOF'
#!/bin/sh
case "$1" in prereqs) exit ;; esac
[ -d /run/rave/image ] || exit 0
. /scripts/functions
lower=/run/rave/lower memory=/run/rave/memory
mkdir -p "$lower" "$memory"
mount -o move "$rootmnt" "$lower" && mount -t tmpfs -o mode=0755 tmpfs "$memory" &&
	mkdir "$memory/upper" "$memory/work" &&
	mount -t overlay -o "lowerdir=$lower,upperdir=$memory/upper,workdir=$memory/work" overlay "$rootmnt" ||
	panic "rave: no memory could be laid over the medium's file system"
# The table names the file system that is below.
: > "$rootmnt/etc/fstab"
read -r arguments < /proc/cmdline
case " $arguments " in
*" rave.install "*|*" rave.install="*)
	ln -s /etc/systemd/system/rave-install.target "$rootmnt/etc/systemd/system/default.target" ;;
esac
EOF
chmod 755 "$scripts/local-top/rave-live" "$scripts/local-bottom/rave-live"
