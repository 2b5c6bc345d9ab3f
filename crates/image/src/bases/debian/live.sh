# Runs before the first package is unpacked; $1 is the new root. Scripts of the initrd that start a live session from the
# ISO: they act only when the kernel's arguments say `rave.live=LABEL`, the label of the ISO's volume.
set -eu
scripts="$1/usr/share/initramfs-tools/scripts"
mkdir -p "$scripts/local-top" "$scripts/local-bottom"

cat > "$scripts/local-top/rave-live" <<'EOF'
#!/bin/sh
case "$1" in prereqs) exit ;; esac
panic() {
	. /scripts/functions
	panic "$1"
}
@live_medium@
# By its device: a machine that RAVE was installed to has a root file system of the same UUID.
echo "ROOT=/dev/loop1" >> /conf/param.conf
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
