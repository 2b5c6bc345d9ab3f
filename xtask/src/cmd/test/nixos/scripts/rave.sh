#!/nix/bash
# `rave` for nix: adds the payload's links to the files of a disk.
set -e
@function@
arguments=()
while (($#)); do
    if [[ $1 == --files ]]; then
        files=$(mktemp --directory)
        cp --recursive --no-preserve=ownership "$2/." "$files"
        chmod --recursive u+w "$files"
        mkdir --parents "$files/sbin" "$files/lib"
        links "$files"
        ln -sfn /run/booted-system/kernel-modules/lib/modules "$files/lib/modules"
        ln -sfn /run/current-system/sw/bin/mount.envfs "$files/sbin/mount.envfs"
        arguments+=(--files "$files")
        shift 2
    else
        arguments+=("$1")
        shift
    fi
done
exec @rave@ "${arguments[@]}"
