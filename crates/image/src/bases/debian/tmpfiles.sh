# Runs where nothing may be mounted, before customize.sh; $1 is the new root. systemd-tmpfiles, which packages call when they
# are configured, does nothing without /proc: call it again for the same files from outside, where /proc is, so that the tree
# is the one of every other way to build.
set -eu

libraries="$1/usr/lib/x86_64-linux-gnu"
names=$(sed -n 's/^[[:space:]]*systemd-tmpfiles .*--create \(.*\) || true$/\1/p' "$1"/var/lib/dpkg/info/*.postinst)
# What it makes in /run goes when mmdebstrap cleans up.
"$libraries/ld-linux-x86-64.so.2" --library-path "$libraries:$libraries/systemd" "$1/usr/bin/systemd-tmpfiles" \
    --root="$1" --exclude-prefix=/dev --exclude-prefix=/proc --exclude-prefix=/sys --exclude-prefix=/tmp --create $names
