//! The record of a real sandbox, and its pages in a browser on the host.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::{NAME, Sandbox};

/// While it is running: events are recorded, without arguments, and the record is intact.
pub(super) fn actions_are_recorded(sandbox: &Sandbox) {
    sandbox.exec(&["true", "--token", "not-to-be-kept"]).expect_code(0);
    let record = sandbox.run(&["audit", NAME, "--json"]);
    let text = &record.expect_code(0).stdout;
    for expected in [
        r#""event":"begun""#,
        r#""event":"started""#,
        r#""program":"true","arguments":2"#,
        r#""event":"exec-ended""#,
        r#""to":"denied.example""#,
        r#""event":"opened","way":"out""#,
        r#""event":"policy","mode":"restricted""#,
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(!text.contains("not-to-be-kept"), "{text}");
    assert!(sandbox.run(&["audit", NAME]).expect_code(0).stdout.contains("exec true with 2 arguments"));
    verify(sandbox);
}

pub(super) fn verify(sandbox: &Sandbox) {
    let verified = sandbox.run(&["audit", NAME, "--verify"]);
    assert!(verified.expect_code(0).stdout.contains("as they were written"), "{}", verified.stdout);
}

/// After it was removed: its record still exists.
pub(super) fn the_record_outlives_the_sandbox(sandbox: &Sandbox) {
    let record = sandbox.run(&["audit", NAME]);
    let text = &record.expect_code(0).stdout;
    assert!(text.contains("another supervisor took over") && text.trim_end().ends_with("removed"), "{text}");
    verify(sandbox);
    let folder = fs::read_dir(sandbox.place.path("state/audit")).unwrap().next().unwrap().unwrap().path();
    let file = folder.join("audit.jsonl");
    let changed = fs::read_to_string(&file).unwrap().replacen("denied.example", "allowed.example", 1);
    fs::write(&file, changed).unwrap();
    sandbox.run(&["audit", NAME, "--verify"]).expect_code(1);
}

/// The gateway's page is served only for its own names.
pub(super) fn a_page_is_only_for_its_own_names(sandbox: &Sandbox) {
    let port = sandbox.run(&["port", NAME, "gateway"]);
    let address = port.expect_code(0).stdout.trim().to_owned();
    let number = address.rsplit(':').next().unwrap();
    let ask = |host: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "GET /status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        String::from_utf8_lossy(&all).into_owned()
    };
    let page = ask(&format!("{NAME}.localhost:{number}"));
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("connect-src 'self'"), "{page}");
    let page = ask("evil.example");
    assert!(page.starts_with("HTTP/1.1 421"), "{page}");
    sandbox.run(&["net", NAME, "pages", "open"]).expect_code(0);
    let page = ask(&format!("127.0.0.1:{number}"));
    assert!(page.starts_with("HTTP/1.1 200") && !page.contains("connect-src"), "{page}");
    sandbox.run(&["net", NAME, "pages", "closed"]).expect_code(0);
}
