# Runs a command of apt so that no daemon comes of it. Debian starts and enables each service that it installs;
# of these packages only the programs are wanted.
# $1: where the policy goes; $2: the units, separated by spaces; the rest: the command.
set -u
policy=$1 units=$2
shift 2

# invoke-rc.d(8) and deb-systemd-invoke(1p) ask this program before they start anything: 101 forbids it, 0 allows it.
# One that is there, as in container images, is the administrator's. Should ours be left behind by a kill, then it
# forbids nothing any more, and the next run takes its place.
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
# Also after a failure: some of the packages may be there. A unit that another release names otherwise is no error.
if command -v systemctl > /dev/null; then
    for unit in $units; do systemctl disable "$unit" 2> /dev/null; done
fi
exit $code
