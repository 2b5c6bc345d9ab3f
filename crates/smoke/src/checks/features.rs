//! What a profile's features promise in addition to the desktop.

use rave_guest::features::VNC_PORT;

use crate::guest::Guest;
use crate::poll::{CheckError, Observation, ensure};

/// Sound on a machine that may lack a sound card: the server responds, and programs find it by the name that most of
/// them use.
pub(crate) fn sound(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let script = "wpctl status | grep -A 20 '^Audio' | grep -m 1 -A 3 'Sinks' && \
                  test -S \"$XDG_RUNTIME_DIR/pulse/native\" && systemctl --user is-active pipewire wireplumber";
    guest.until(seen, |seen| {
        let printed = guest.succeed(script, seen)?;
        ensure(printed.lines().filter(|line| *line == "active").count() == 2, || {
            format!("not both units are active: {printed}")
        })
    })?;
    seen.answer = guest.succeed("wpctl --version | tail -n 1", seen)?;
    Ok(())
}

/// An image made from one static program, without any network.
pub(crate) fn docker(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let limit = guest.limits.boot;
    // The daemon starts with the first command.
    guest.until_within(limit, seen, |seen| {
        guest.succeed("docker version --format '{{.Server.Version}}'", seen).map(drop)
    })?;
    let script = "tar --create --directory /usr/lib/rave rave-guest | docker import - rave-smoke >/dev/null && \
                  docker run --rm --network none rave-smoke /rave-guest --version; \
                  code=$?; docker image rm --force rave-smoke >/dev/null; exit $code";
    let printed = guest.succeed(script, seen)?;
    ensure(printed.starts_with("rave-guest "), || format!("the container printed {printed:?}"))
}

pub(crate) fn docker_compose(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    guest.succeed("docker compose version || docker-compose version", seen).map(drop)
}

pub(crate) fn build_tools(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let script = "cd \"$(mktemp -d)\" && printf '#include <iostream>\\nint main() { std::cout << \"compiled\\\\n\"; }\\n' > a.cc && \
                  printf 'a: a.cc\\n\\tg++ -o a a.cc\\n' > Makefile && make --silent && ./a && gcc --version";
    let printed = guest.succeed(script, seen)?;
    ensure(printed.starts_with("compiled\n"), || format!("it printed {printed:?}"))?;
    printed.lines().nth(1).unwrap_or_default().clone_into(&mut seen.answer);
    Ok(())
}

pub(crate) fn virtual_screen(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let printed = guest.succeed("xvfb-run --auto-servernum xdpyinfo | grep dimensions", seen)?;
    ensure(printed.contains("pixels"), || format!("it printed {printed:?}"))
}

/// The server speaks RFB (RFC 6143, section 7.1.1), only on the loopback address, and its password is readable only by
/// the user.
pub(crate) fn vnc(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let limit = guest.limits.boot;
    let banner = format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{VNC_PORT} && head --bytes 12 <&3'");
    guest.until_within(limit, seen, |seen| {
        let printed = guest.succeed(&banner, seen)?;
        ensure(printed.starts_with("RFB 003."), || format!("it answers {printed:?}"))
    })?;
    let answer = std::mem::take(&mut seen.answer);
    let listening =
        format!("ss --listening --tcp --numeric --no-header 'sport = :{VNC_PORT}' | awk '{{ print $4 }}'");
    let places = guest.succeed(&listening, seen)?;
    let local = |place: &str| place.starts_with("127.0.0.1:") || place.starts_with("[::1]:");
    ensure(!places.is_empty() && places.lines().all(local), || format!("it listens on {places}"))?;
    let modes = guest.succeed(
        "stat --format '%a %s' ~/.config/rave/vnc-password ~/.config/rave/vnc-password.obfuscated",
        seen,
    )?;
    let private = |line: &str| line.split_once(' ').is_some_and(|(mode, size)| mode == "600" && size != "0");
    ensure(modes.lines().count() == 2 && modes.lines().all(private), || format!("modes and sizes: {modes}"))?;
    seen.answer = answer;
    Ok(())
}

/// A user's script as in Playwright's documentation, without any downloads.
pub(crate) fn playwright(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let script = "cd \"$(mktemp -d)\" && cat > a.js <<'END'\n\
                  const { chromium } = require('playwright');\n\
                  (async () => {\n\
                    const browser = await chromium.launch({ timeout: 300000 });\n\
                    const page = await browser.newPage();\n\
                    await page.setContent('<title>driven</title><p>hello', { timeout: 120000 });\n\
                    console.log(await page.title(), browser.version());\n\
                    await browser.close();\n\
                  })().catch(error => { console.error(error); process.exit(1); });\n\
                  END\n\
                  node a.js";
    let limit = guest.limits.boot;
    let output = guest.run_within(script, limit, seen)?;
    let printed = output.text();
    ensure(output.success() && printed.starts_with("driven "), || {
        format!("it failed ({}): {printed}{}", output.status, output.stderr.join("\n"))
    })
}

pub(crate) fn everyday_tools(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let script = "cd \"$(mktemp -d)\" && echo hello > a && zip --quiet a.zip a && unzip -p a.zip a && \
                  tree --version && htop --version && nano --version";
    let printed = guest.succeed(script, seen)?;
    ensure(printed.starts_with("hello\n"), || format!("it printed {printed:?}"))
}

/// Works on a machine with user data and on one without; the agents start only on their hypervisor.
pub(crate) fn cloud(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    // VMware's agent prints nothing on any other machine.
    guest.succeed("command -v vmtoolsd && sudo -n qemu-ga --version", seen)?;
    let script = "test -e /run/cloud-init/disabled && echo disabled || cloud-init status --wait";
    let printed = guest.succeed(script, seen)?;
    ensure(["disabled", "status: done"].iter().any(|end| printed.ends_with(end)), || {
        format!("cloud-init says {printed:?}")
    })?;
    seen.answer = printed;
    Ok(())
}
