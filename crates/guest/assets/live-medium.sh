# Attaches the root file system of disk.raw, which is in a squashfs on a medium, as /dev/loop1. For the initrd of a live
# session, where the kernel argument `rave.live=LABEL` has the label of the ISO's volume. The caller defines `panic`.
# Loop devices have fixed numbers, because the losetup of Debian's initrd supports nothing else.
label= offset=
read -r arguments < /proc/cmdline
for argument in $arguments; do
	case "$argument" in
	rave.live=*) label="${argument#*=}" ;;
	rave.root-offset=*) offset="${argument#*=}" ;;
	esac
done
[ -n "$label" ] || exit 0
medium=/run/rave/medium image=/run/rave/image
mkdir -p "$medium" "$image"
modprobe -a isofs squashfs overlay loop
# The label on the medium (ECMA-119, 8.4: the 32 bytes at 40 of sector 16): not every udev supports CDs.
find_medium() {
	for device in /sys/class/block/*; do
		device="/dev/${device##*/}"
		case "$device" in /dev/loop*|/dev/ram*) continue ;; esac
		case "$(dd "if=$device" bs=8 skip=4101 count=4 2>/dev/null)" in "$label "*) return ;; esac
	done
	false
}
# A slow USB stick, or a drive that spins up, appears late. bash warns about the NUL bytes that it reads.
tries=0
until find_medium 2>/dev/null; do
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
echo "rave: live medium found"
