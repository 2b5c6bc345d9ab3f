#!/nix/bash
# `make-initrd-ng` for nix: the program beside this script, and the payload's links.
set -e
@function@
"${0%/bin/*}/libexec/make-initrd-ng" "$@"
links "$2"
