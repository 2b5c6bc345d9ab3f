#!@shell@
# Boots the image with a writable overlay in the user's state folder; the image itself never changes.
set -eu
PATH="@path@:$PATH"

usage() {
    cat <<'END'
usage: run-vm.sh [--headless] [--fresh] [QEMU-ARGUMENT...]
  --headless  no window; the serial console is this terminal
  --fresh     discard everything the machine wrote before
END
}

display="-display gtk"
fresh=
while [ $# -gt 0 ]; do
    case $1 in
    --headless) display="-nographic" ;;
    --fresh) fresh=1 ;;
    -h | --help) usage && exit ;;
    *) break ;;
    esac
    shift
done

state="${RAVE_STATE:-${XDG_STATE_HOME:-$HOME/.local/state}/rave}"
disk="$state/nixos-@profile@.qcow2"
mkdir -p "$state"
# An overlay is only valid for its own image, whose name is kept beside it.
if [ -n "$fresh" ] || [ "$(cat "$disk.of" 2>/dev/null)" != "@image@" ]; then
    rm -f "$disk"
fi
if [ ! -e "$disk" ]; then
    qemu-img create -q -f qcow2 -F qcow2 -b "@image@" "$disk.new" @disk@M
    mv "$disk.new" "$disk"
    echo "@image@" > "$disk.of"
fi

# Software emulation is slow but works everywhere.
if [ -w /dev/kvm ]; then
    accelerator="-accel kvm -cpu host"
else
    accelerator="-accel tcg,thread=multi -cpu max"
    echo "run-vm.sh: /dev/kvm is not available; using software emulation, about ten times slower" >&2
fi
# Word splitting is intended.
# shellcheck disable=SC2086
exec qemu-system-x86_64 -machine q35 $accelerator -m @memory@ -smp @cpus@ $display \
    -drive "file=$disk,if=virtio,format=qcow2" \
    -netdev "user,id=net0,@forwards@" -device virtio-net-pci,netdev=net0 \
    -device virtio-rng-pci "$@"
