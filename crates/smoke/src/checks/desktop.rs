//! The desktop: the user's session, what the screen shows, the browser, the network applet.

use std::time::{Duration, Instant};

use camino::Utf8PathBuf;

use crate::guest::Guest;
use crate::poll::{CheckError, Observation, ensure};
use crate::screen::Screen;

/// The screen size that the panel and launchers are designed for, pixels.
const SIZE: (u32, u32) = (1280, 800);

/// How long to wait for a page to stop changing before the screenshot is taken anyway.
const SETTLE: Duration = Duration::from_secs(60);

/// A page that has not changed for this long is complete: under software emulation its scripts take seconds between
/// changes.
const STILL: Duration = Duration::from_secs(12);

/// How often one command in the guest looks for the browser's window, and the pause in seconds.
const BROWSER_LOOKS: u32 = 10;
const BROWSER_PAUSE: u32 = 2;

/// The windows that the window manager knows, three lines each: class, type, name (Extended Window Manager Hints 1.5).
const WINDOWS: &str = "for id in $(xprop -root _NET_CLIENT_LIST | grep -o '0x[0-9a-f]*'); do \
     xprop -id $id -notype WM_CLASS _NET_WM_WINDOW_TYPE _NET_WM_NAME; done";

pub(crate) fn session(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let limit = guest.limits.boot;
    let script = "pgrep -u \"$USER\" -x xfce4-session >/dev/null || { echo no xfce4-session; exit 1; }; \
                  pgrep -u \"$USER\" -x xfce4-panel >/dev/null || { echo no xfce4-panel; exit 1; }; \
                  busctl --user status >/dev/null || { echo no session bus; exit 1; }; \
                  loginctl --no-legend list-sessions | grep \"$USER.*seat0\" || { echo not logged in at the screen; exit 1; }";
    guest.until_within(limit, seen, |seen| guest.succeed(script, seen).map(drop))
}

/// Uses a screenshot from the hypervisor, not information from the guest.
pub(crate) fn painted(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let limit = guest.limits.boot;
    guest.until_within(limit, seen, |seen| {
        let screen = screen_of(guest, "painted.png")?;
        seen.note(format!(
            "{} x {}, {:.0} % of one colour, {}",
            screen.width,
            screen.height,
            screen.largest_share * 100.0,
            if screen.panel.is_some() { "with a panel" } else { "without a panel" }
        ));
        ensure(!screen.is_blank(), || "the screen is blank".into())?;
        ensure(screen.panel.is_some(), || "there is no panel on the screen".into())
    })
}

fn screen_of(guest: &Guest, name: &str) -> Result<Screen, CheckError> {
    let picture = picture(guest, name)?;
    Screen::read(&picture).map_err(|error| CheckError::CouldNotRun(error.to_string()))
}

/// Takes a screenshot; each check has its own file.
fn picture(guest: &Guest, name: &str) -> Result<Utf8PathBuf, CheckError> {
    let path = guest.folder.join(name);
    guest.running(|instance| instance.screenshot(&path))?;
    Ok(path)
}

pub(crate) fn screen_size(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let printed = guest.succeed("xwininfo -root -stats | grep -- -geometry", seen)?;
    let (width, height) = SIZE;
    ensure(printed.contains(&format!("{width}x{height}")), || format!("the screen's geometry is {printed}"))?;
    let screen = screen_of(guest, "size.png")?;
    ensure((screen.width, screen.height) == SIZE, || {
        format!("the machine shows {} x {}", screen.width, screen.height)
    })
}

/// No windows except the desktop's own, and no program killed by a signal.
pub(crate) fn no_dialogs(guest: &mut Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let windows = guest.succeed(WINDOWS, seen)?;
    let dialogs: Vec<&str> = names_of(&windows, "_NET_WM_WINDOW_TYPE_DIALOG");
    ensure(dialogs.is_empty(), || format!("a dialog is open: {}", dialogs.join(", ")))?;
    let crashes = "journalctl --boot --quiet --output=cat --grep 'segfault at|trap int3|trap invalid opcode|dumped core' | head -n 5";
    let died = guest.succeed(crashes, seen)?;
    ensure(died.is_empty(), || format!("a program crashed: {died}"))?;
    seen.answer = format!("windows: {}", names_of(&windows, "").join(", "));
    Ok(())
}

/// The names of the windows of a type.
fn names_of<'t>(windows: &'t str, kind: &str) -> Vec<&'t str> {
    let lines: Vec<&str> = windows.lines().collect();
    let of_kind = lines.chunks(3).filter(|window| window.get(1).is_some_and(|line| line.contains(kind)));
    let name =
        |window: &&[&'t str]| window.get(2).and_then(|line| line.split_once(" = ")).map(|(_, name)| name);
    of_kind.filter_map(|window| name(&window)).map(|name| name.trim_matches('"')).collect()
}

pub(crate) fn launchers(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let script = "cd ~/Desktop && for file in rave-kanban rave-router rave-status; do \
                  test -x $file.desktop || { echo $file is not executable; exit 1; }; \
                  test -e /usr/share/applications/$file.desktop || { echo $file is not in the menu; exit 1; }; \
                  test -e $(sed -n 's/^Icon=//p' $file.desktop) || { echo $file has no icon; exit 1; }; \
                  url=$(sed -n 's/^Exec=xdg-open //p' $file.desktop); \
                  curl --silent --show-error --fail --output /dev/null $url || exit 1; echo $url; done";
    let urls = guest.succeed(script, seen)?;
    seen.answer = urls.replace('\n', ", ");
    ensure(urls.lines().count() == 3, || format!("not three pages: {urls}"))
}

pub(crate) fn no_locker(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let script = "xset q | grep -A 1 'Screen Saver' -A 2; \
                  pgrep -l 'light-locker|xfce4-screensav|xscreensaver|xfce4-power-man'; true";
    let printed = guest.succeed(script, seen)?;
    seen.answer = printed.split_whitespace().collect::<Vec<_>>().join(" ");
    ensure(seen.answer.contains("timeout: 0"), || format!("the screen saver is on: {}", seen.answer))?;
    ensure(
        !printed.contains("locker") && !printed.contains("screensav") && !printed.contains("power-man"),
        || format!("a screen locker is running: {printed}"),
    )
}

pub(crate) fn network_applet(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let script = "pgrep -u \"$USER\" -x nm-applet >/dev/null || { echo no nm-applet; exit 1; }; \
                  nmcli --terse --fields DEVICE,TYPE,STATE device | grep ':ethernet:connected$' || \
                  { nmcli --terse --fields DEVICE,TYPE,STATE device; exit 1; }";
    guest.until(seen, |seen| guest.succeed(script, seen).map(drop))
}

/// Started without an address: its home page must be the gateway. It stays open for the screenshot.
pub(crate) fn browser(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let title = "curl --silent --fail http://localhost:$(sed -n 's/.*\"gateway\": \\([0-9]*\\).*/\\1/p' /etc/rave/guest.json)/ \
                 | grep -o '<title>[^<]*' | head -n 1 | cut -c 8-";
    let title = guest.succeed(title, seen)?;
    ensure(!title.is_empty(), || "the gateway's page has no title".into())?;
    guest.succeed("setsid --fork x-www-browser >/dev/null 2>&1 </dev/null", seen)?;
    let expected = format!("{title} - Chromium");
    // Each command waits in the guest: polling from outside takes processor time from the browser.
    let wait = format!(
        "for look in $(seq {BROWSER_LOOKS}); do shown=$({WINDOWS}); \
         case $shown in *{}*) break;; esac; sleep {BROWSER_PAUSE}; done; printf '%s\\n' \"$shown\"",
        rave_process::shell_quote(&format!("\"{expected}\""))
    );
    let is_open = |seen: &mut Observation| {
        let windows = guest.succeed(&wait, seen)?;
        let names = names_of(&windows, "_NET_WM_WINDOW_TYPE_NORMAL");
        seen.note(names.join(", "));
        ensure(names.contains(&expected.as_str()), || {
            format!("no window is called {expected:?}; the windows are: {}", names.join(", "))
        })
    };
    let limit = guest.limits.boot;
    guest.until_within(limit, seen, &is_open)?;
    settle(guest)?;
    // A browser whose renderer crashes shows its window for some seconds.
    is_open(seen)
}

/// Waits until the page is complete, so that the screenshot shows it; a page that keeps changing is not a failure.
fn settle(guest: &Guest) -> Result<(), CheckError> {
    let (mut before, mut since) = (Vec::new(), Instant::now());
    let outcome = guest.until_within(SETTLE, &mut Observation::default(), |_| {
        let path = picture(guest, "browser.png")?;
        let now =
            std::fs::read(&path).map_err(|error| CheckError::CouldNotRun(format!("{path}: {error}")))?;
        if now != before {
            (before, since) = (now, Instant::now());
        }
        ensure(since.elapsed() >= STILL, || "the screen is still changing".into())
    });
    match outcome {
        Err(CheckError::Failed(_)) | Ok(()) => Ok(()),
        Err(problem) => Err(problem),
    }
}

/// Every page's process is sandboxed: seccomp filters its system calls (`proc_pid_status(5)`, `Seccomp: 2`) and it runs
/// in its own process namespace (`NSpid` with more than one number).
pub(crate) fn browser_sandbox(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let script = "pids=$(pgrep -u \"$USER\" -f -- '[-]-type=renderer'); test -n \"$pids\" || { echo no page is open; exit 1; }; \
                  for pid in $pids; do awk '/^(Seccomp|NSpid):/ { printf \"%s %s \", $1, NF == 2 ? $2 : NF - 1 \" levels\" } END { print \"\" }' \
                  /proc/$pid/status; done; ! pgrep -f -- '[-]-no-sandbox'";
    // The page may still be opening in parallel.
    guest.until_within(guest.limits.boot, seen, |seen| {
        let printed = guest.succeed(script, seen)?;
        let confined = |line: &str| line.contains("Seccomp: 2") && line.contains("levels");
        ensure(!printed.is_empty() && printed.lines().all(confined), || {
            format!("a page's process is not sandboxed: {printed}")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The output of xprop in a guest.
    const SHOWN: &str = r#"WM_CLASS = "xfce4-panel", "Xfce4-panel"
_NET_WM_WINDOW_TYPE = _NET_WM_WINDOW_TYPE_DOCK
_NET_WM_NAME = "xfce4-panel"
WM_CLASS = "xfdesktop", "Xfdesktop"
_NET_WM_WINDOW_TYPE = _NET_WM_WINDOW_TYPE_DESKTOP
_NET_WM_NAME = "Desktop"
WM_CLASS = "chromium", "Chromium"
_NET_WM_WINDOW_TYPE = _NET_WM_WINDOW_TYPE_NORMAL
_NET_WM_NAME = "vibe-kanban - Chromium"
"#;

    #[test]
    fn windows_are_distinguished_by_type() {
        assert_eq!(names_of(SHOWN, "_NET_WM_WINDOW_TYPE_NORMAL"), ["vibe-kanban - Chromium"]);
        assert_eq!(names_of(SHOWN, ""), ["xfce4-panel", "Desktop", "vibe-kanban - Chromium"]);
        assert!(names_of(SHOWN, "_NET_WM_WINDOW_TYPE_DIALOG").is_empty());
        assert!(names_of("", "").is_empty());
    }
}
