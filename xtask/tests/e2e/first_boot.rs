//! An image without Claude Code, whose guest installs it from a registry when that answers. It takes minutes: `cargo xtask test
//! matrix` runs it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rave_guest::assets::claude;
use rave_smoke::registry::select;
use rave_smoke::report::Outcome;
use rave_smoke::{Guest, suite};
use rave_spec::Format;

use crate::command::Command;
use crate::fixture::{Fixture, output_of};
use crate::tool::{Place, finish, poll, user_cache};

/// The gateway, whose ports lead to this host's loopback if a rule opens them.
const HOST: &str = "10.0.2.2";

/// A registry on this host's loopback, with the real archives. It runs until the process exits.
struct Registry {
    port: u16,
    is_open: Arc<AtomicBool>,
}

impl Registry {
    /// The host's npm fetches the archives.
    fn start(folder: PathBuf) -> Self {
        for package in claude::PACKAGES {
            let name = format!("{package}@{}", claude::version());
            let mut pack = Command::new("npm");
            pack.args(["pack", &name, "--pack-destination"]).arg(&folder).current_dir(&folder);
            finish(&pack).expect_code(0);
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_open = Arc::new(AtomicBool::new(false));
        let gate = Arc::clone(&is_open);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (gate, folder) = (Arc::clone(&gate), folder.clone());
                thread::spawn(move || answer(stream, port, &gate, &folder));
            }
        });
        Self { port, is_open }
    }
}

/// Answers one request: a package's metadata, or its archive.
fn answer(mut stream: TcpStream, port: u16, is_open: &AtomicBool, folder: &Path) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let request = lines.next().unwrap_or_default();
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    let path = request.split(' ').nth(1).unwrap_or_default().replace("%2f", "/");
    let version = claude::version();
    let package = claude::PACKAGES.into_iter().find(|package| path == format!("/{package}"));
    let (status, body) = match package {
        _ if !is_open.load(Ordering::Relaxed) => ("503 Service Unavailable", Vec::new()),
        Some(package) => {
            let archive = format!("{}-{version}.tgz", package.trim_start_matches('@').replace('/', "-"));
            let dist = serde_json::json!({ "tarball": format!("http://{HOST}:{port}/archive/{archive}") });
            let one = serde_json::json!({ "name": package, "version": version, "dist": dist });
            let all = serde_json::json!({
                "name": package, "dist-tags": { "latest": version }, "versions": { &version: one },
            });
            ("200 OK", all.to_string().into_bytes())
        }
        None => match path.strip_prefix("/archive/").filter(|name| !name.contains('/')) {
            Some(name) => ("200 OK", fs::read(folder.join(name)).unwrap_or_default()),
            None => ("404 Not Found", Vec::new()),
        },
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

/// The outcomes of the two checks that need Claude Code.
fn checked(guest: &mut Guest) -> Vec<Outcome> {
    let names = ["kanban-agent", "tool-claude"].map(str::to_owned);
    let checks = select(&names, &[], &[].into()).unwrap();
    suite::run(&checks, guest, &|_| ()).into_iter().map(|result| result.outcome).collect()
}

#[test]
#[ignore = "it takes minutes: cargo xtask test matrix"]
fn claude_code_is_installed_when_the_registry_answers() {
    let place = Place::new();
    let out = place.path("out");
    let mut image = place.xtask(&[
        "image",
        "--base",
        "debian",
        "--profile",
        "headless",
        "--format",
        "qemu",
        "--yes",
        "--out",
    ]);
    image.arg(&out).env("RAVE_CACHE", user_cache()).env("RAVE_CLAUDE", "first-boot");
    finish(&image).expect_code(0);
    let archives = place.path("archives");
    fs::create_dir(&archives).unwrap();
    let registry = Registry::start(archives);

    let mut fixture = Fixture::of_image(place, &out, Format::Qemu);
    let environment = format!(
        "[Service]\nEnvironment=npm_config_registry=http://{HOST}:{}/ npm_config_fetch_retries=0\n",
        registry.port
    );
    fixture.drop_in(claude::UNIT, &environment);
    fixture.allow(&format!("127.0.0.1:{}/tcp,private", registry.port));
    let (instance, ready, ssh) = fixture.ready();
    let program = claude::program();
    assert_eq!(output_of(&ssh, "find / -xdev -type f -name claude -size +1M 2>/dev/null || true").trim(), "");
    assert!(output_of(&ssh, "rave-guest health").contains("\"claude\": \"pending\""));
    let printed = output_of(&ssh, "claude --version 2>&1 || true");
    assert_eq!(
        printed.trim(),
        format!("claude is being installed, which needs the network: {}", claude::LOG)
    );
    let mut guest = fixture.guest(instance, &ready, ssh.clone());
    for outcome in checked(&mut guest) {
        assert!(matches!(&outcome, Outcome::NotYet(why) if why.contains(claude::LOG)), "{outcome:?}");
    }
    let log = format!("sudo -n {} --no-pager --output cat", claude::LOG);
    poll("the first attempt has failed", Duration::from_secs(2), || {
        output_of(&ssh, &log).contains("the next attempt is in 5 s")
    });

    registry.is_open.store(true, Ordering::Relaxed);
    poll("it is installed", Duration::from_secs(5), || {
        output_of(&ssh, &log).contains(&format!("Claude Code {} is installed", claude::version()))
    });
    assert!(output_of(&ssh, "rave-guest health").contains("\"claude\": \"ready\""));
    assert_eq!(output_of(&ssh, &format!("stat --format=%U {program}")).trim(), "agent");
    assert_eq!(checked(&mut guest), [Outcome::Passed, Outcome::Passed]);
    assert_eq!(output_of(&ssh, "systemctl list-units --failed --plain --no-legend").trim(), "");
    guest.take_instance().unwrap().kill().unwrap();
}
