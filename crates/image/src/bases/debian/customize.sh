# Runs when all packages are configured; $1 is the new root.
set -eu

# Made by the package's postinst: every machine makes its own at first boot.
rm -f "$1"/etc/ssh/ssh_host_*

# The root file system's own table and name service are written with the disk.
rm -f "$1/etc/fstab" "$1/etc/resolv.conf" "$1/etc/hostname"

# Their sockets start them when they are first asked for.
units="$1/etc/systemd"
rm -f "$units/system/multi-user.target.wants/docker.service" "$units/system/multi-user.target.wants/containerd.service"
rm -f "$units/user/default.target.wants"/pipewire*.service

# The X server compiles its keyboard's layout into a file there: a desktop must start on a full disk too.
if [ -d "$1/var/lib/xkb" ]; then
    rm -r "$1/var/lib/xkb"
    ln -s /run "$1/var/lib/xkb"
fi
