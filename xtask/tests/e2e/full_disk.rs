//! The disk of the sandboxes is full, with the real headless image: each command says so and changes nothing, and a
//! guest that writes is paused until there is space.

use crate::command::Command;
use crate::tool::{HEADLESS, Place, checkout, finish, shared_cache, shared_out, user_cache};

/// Runs in a namespace with a small file system at the state folder: one in a file, because a machine whose memory is a
/// file on a full tmpfs cannot even read it. A failure is reported with its line.
const SCRIPT: &str = r#"
set -eu
truncate -s 5G "$RAVE_STATE/../disk"
mke2fs -q -t ext4 -m 0 "$RAVE_STATE/../disk"
mount -o loop "$RAVE_STATE/../disk" "$RAVE_STATE"
chmod 700 "$RAVE_STATE"
trap '"$RAVE" rm --force demo two three > /dev/null 2>&1 || true' EXIT
cp -r "$OUT" "$RAVE_STATE/out"
cp -a "$TEMPLATES/." "$RAVE_STATE/templates"
up() { "$RAVE" up "$@" --base debian --no-build --out "$RAVE_STATE/out"; }
fill() { cat /dev/zero > "$RAVE_STATE/filler" 2> /dev/null || true; }
free() { rm "$RAVE_STATE/filler"; }
refused() {
    if "$@" > "$RAVE_STATE/../said" 2>&1; then echo "succeeded on a full disk: $*"; exit 9; fi
    grep -iE 'space|full' "$RAVE_STATE/../said" || { echo "no message about the disk: $*"; cat "$RAVE_STATE/../said"; exit 9; }
}
names() { "$RAVE" ps --all | awk 'NR > 1 { print $1 }' | xargs; }
guest() { "$RAVE" exec demo -- sh -ec "$1"; }

up demo --workspace "$PROJECT"
guest 'echo memory > /dev/shm/memory; echo of the guest > work/demo/file; sync'

fill; refused up two; free
test "$(names)" = demo
up two; "$RAVE" rm --force two

# Other memory needs another template, which runs out of space while it is made.
(timeout 300 sh -c 'until test -e "$RAVE_STATE"/templates/.new-*/memory; do sleep 0.1; done'; fill) &
filler=$!
refused up four --memory 1100
grep "cannot make the template" "$RAVE_STATE/../said"
wait $filler
free
test -z "$(find "$RAVE_STATE/templates" -maxdepth 1 -name '.new-*')"
test "$(names)" = demo

fill; refused "$RAVE" snapshot demo one; free
test -z "$("$RAVE" snapshot demo --list | awk 'NR > 1')"
fill; refused "$RAVE" fork demo three; free
test "$(names)" = demo
test "$(guest 'cat /dev/shm/memory')" = memory

fill
"$RAVE" exec demo -- sh -ec 'head -c 50000000 /dev/urandom > large; sync; wc -c < large' > "$RAVE_STATE/../large" &
writer=$!
timeout 300 sh -c 'until "$RAVE" ps | grep -E "^demo +no-space"; do sleep 0.2; done'
refused "$RAVE" apply demo
test "$(cat "$PROJECT/file")" = "of the host"
free
timeout 300 tail --pid=$writer -f /dev/null
test "$(cat "$RAVE_STATE/../large")" = 50000000
"$RAVE" ps | grep -E '^demo +running'

"$RAVE" apply demo
test "$(cat "$PROJECT/file")" = "of the guest"
"$RAVE" snapshot demo one
"$RAVE" fork demo three
test "$("$RAVE" exec three -- cat /dev/shm/memory)" = memory
"#;

#[test]
#[ignore = "it takes minutes: cargo xtask test matrix"]
fn each_command_reports_a_full_disk_and_a_writing_guest_waits_for_space() {
    shared_cache(HEADLESS);
    let place = Place::new();
    let templates = user_cache().join("test-templates");
    std::fs::create_dir_all(&templates).unwrap();
    for folder in ["state", "project"] {
        std::fs::create_dir(place.path(folder)).unwrap();
    }
    std::fs::write(place.path("project/file"), "of the host\n").unwrap();
    let mut shell = Command::new("unshare");
    shell.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]);
    let mut can_mount = shell.clone();
    if finish(can_mount.arg("test -e /dev/loop-control")).status.code() != Some(0) {
        rave_testing::skip!("only root with loop devices can mount a file as a file system");
    }
    place.own(shell.arg(SCRIPT).current_dir(checkout()));
    shell
        .env("RAVE", env!("CARGO_BIN_EXE_xtask"))
        .env("OUT", shared_out(HEADLESS))
        .env("TEMPLATES", templates);
    let done = finish(shell.env("PROJECT", place.path("project")));
    assert_eq!(done.status.code(), Some(0), "{}\n{}", done.stdout, done.stderr);
}
