//! Installs a package from a registry on loopback with this host's npm.

use super::*;
use rave_testing::or_skip;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

/// A registry with one package.
struct Registry {
    address: SocketAddr,
    thread: Option<thread::JoinHandle<()>>,
}

impl Registry {
    fn start(archive: Vec<u8>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if !answer(stream, address, &archive) {
                    return;
                }
            }
        });
        Self { address, thread: Some(thread) }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let end = TcpStream::connect(self.address)
            .and_then(|mut stream| stream.write_all(b"GET /end HTTP/1.1\r\n\r\n"));
        if let (Ok(()), Some(thread)) = (end, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

/// Answers one request; false for the last.
fn answer(mut stream: TcpStream, address: SocketAddr, archive: &[u8]) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let request = lines.next().unwrap_or_default();
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    let described = format!(
        r#"{{"name":"tiny","dist-tags":{{"latest":"1.0.0"}},"versions":{{"1.0.0":{{"name":"tiny","version":"1.0.0",
        "dist":{{"tarball":"http://{address}/tiny.tgz"}}}}}}}}"#
    );
    let body = match request.split(' ').nth(1) {
        Some("/tiny") => described.as_bytes(),
        Some("/tiny.tgz") => archive,
        Some("/end") => return false,
        _ => b"",
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    true
}

/// The script of this host's npm, to which the program links, or why it is missing.
fn npm() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = std::env::split_paths(&path).map(|folder| folder.join("npm")).find(|file| file.is_file());
    let script = program.ok_or("npm is missing")?.canonicalize().map_err(|error| error.to_string())?;
    if script.ends_with("npm-cli.js") { Ok(script) } else { Err(format!("{} is no link", script.display())) }
}

/// The archive of a package with a program, and its integrity string.
fn package(folder: &Path) -> (Vec<u8>, String) {
    let tiny = folder.join("tiny");
    fs::create_dir(&tiny).unwrap();
    fs::write(tiny.join("package.json"), r#"{"name":"tiny","version":"1.0.0"}"#).unwrap();
    fs::write(tiny.join("claude"), "#!/bin/sh\necho 1.0.0\n").unwrap();
    let printed = spawn::output_in(
        &tiny,
        "npm",
        &["pack", "--json", "--pack-destination", ".."],
        Duration::from_secs(60),
    );
    let printed: serde_json::Value = serde_json::from_str(&printed.unwrap()).unwrap();
    (fs::read(folder.join("tiny-1.0.0.tgz")).unwrap(), printed[0]["integrity"].as_str().unwrap().to_owned())
}

fn installer(folder: &Path, npm: PathBuf, registry: &Registry, integrity: &str) -> Installer {
    let state = folder.join("state");
    fs::create_dir_all(&state).unwrap();
    // The registry is in a user's own settings.
    let settings = folder.join("npmrc");
    fs::write(&settings, format!("registry=http://{}/\nfetch-retries=0\n", registry.address)).unwrap();
    let root = r#"{"name":"p","version":"0.0.0","dependencies":{"tiny":"1.0.0"}}"#;
    let lock = format!(
        r#"{{"name":"p","version":"0.0.0","lockfileVersion":3,"packages":{{"":{root},
        "node_modules/tiny":{{"version":"1.0.0","integrity":"{integrity}"}}}}}}"#
    );
    Installer {
        state,
        npm,
        project: (root.into(), lock),
        version: "1.0.0".into(),
        program: "node_modules/tiny/claude",
        options: vec![format!("--userconfig={}", settings.display())],
    }
}

#[test]
fn locked_packages_are_installed_once_from_the_configured_registry() {
    let npm = or_skip!(npm());
    let scratch = tempfile::tempdir().unwrap();
    let (archive, integrity) = package(scratch.path());
    let registry = Registry::start(archive);
    let installer = installer(scratch.path(), npm, &registry, &integrity);
    installer.install().unwrap();
    let program = installer.state.join("1.0.0/node_modules/tiny/claude");
    assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o777, 0o755);
    let names: Vec<_> =
        fs::read_dir(&installer.state).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["1.0.0"], "nothing else is left");
    drop(registry);
    installer.install().unwrap();
}

#[test]
fn content_that_differs_from_the_lock_is_refused_and_can_be_retried() {
    let npm = or_skip!(npm());
    let scratch = tempfile::tempdir().unwrap();
    let (archive, integrity) = package(scratch.path());
    let place = scratch.path().join("state/1.0.0");
    let mut changed = archive.clone();
    // The operating system's field of gzip, which no reader checks (RFC 1952, section 2.3): it unpacks as before.
    changed[9] ^= 1;
    {
        let registry = Registry::start(changed);
        let error = installer(scratch.path(), npm.clone(), &registry, &integrity).install().unwrap_err();
        assert!(error.to_string().contains("EINTEGRITY"), "{error}");
        assert!(!place.exists());
    }
    let registry = Registry::start(archive);
    installer(scratch.path(), npm, &registry, &integrity).install().unwrap();
    assert!(place.join("node_modules/tiny/claude").is_file());
}

#[test]
fn retry_delays_grow_up_to_a_limit() {
    let pauses: Vec<u64> = std::iter::successors(Some(FIRST_PAUSE), |pause| Some(longer(*pause)))
        .take(8)
        .map(|pause| pause.as_secs())
        .collect();
    assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300]);
}
