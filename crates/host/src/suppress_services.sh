# Runs a command of apt so that it starts no service. Debian starts and enables each service that it installs;
# of these packages only the programs are needed.
# $1: the path of the policy; $2: the units, separated by spaces; the rest: the command.
set -u
policy=$1 units=$2
shift 2

# invoke-rc.d(8) and deb-systemd-invoke(1p) run this program before they start anything: 101 forbids it, 0 allows it. An
# existing one, as in container images, belongs to the administrator. If a kill leaves ours behind, it no longer forbids
# anything, and the next run replaces it.
if [ ! -e "$policy" ] || grep -qs '^# of cargo xtask' "$policy"; then
    trap 'rm -f "$policy" "$policy.new"' EXIT
    trap 'exit 130' HUP INT TERM
    cat > "$policy.new" <<END
#!/bin/sh
# of cargo xtask, process $$; may be deleted
[ -d /proc/$$ ] || exit 0
for word; do
    case " $units " in *" \$word "* | *" \$word.service "*) exit 101 ;; esac
done
exit 0
END
    chmod 755 "$policy.new" && mv "$policy.new" "$policy" || exit
fi

"$@"
code=$?
# Also after a failure: some of the packages may be installed. A unit that has another name in another release is not an
# error.
if command -v systemctl > /dev/null; then
    for unit in $units; do systemctl disable "$unit" 2> /dev/null; done
fi
exit $code
