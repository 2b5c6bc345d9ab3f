//! The gateway: real nginx with the guest's own configuration, on other ports and paths.

use crate::host::{Running, command, free_ports, has, run, text, wait_for, write_guest};
use rave_guest::config::GuestConfig;
use rave_testing::or_skip;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{Duration, Instant};

/// nginx with a guest's configuration.
pub(crate) struct Gateway {
    pub(crate) port: u16,
    pub(crate) kanban: u16,
    pub(crate) router: u16,
    pub(crate) folder: tempfile::TempDir,
    _nginx: Running,
}

impl Gateway {
    /// Starts it on free ports, with this API key of the router.
    pub(crate) fn start(key: &str) -> Self {
        let [port, kanban, router] = free_ports();
        let mut config = GuestConfig::default();
        config.services.gateway = port;
        config.services.kanban = kanban;
        config.services.router = router;
        config.gateway_names = vec!["box.example.org".into()];
        let folder = tempfile::tempdir().unwrap();
        write_guest(&config, folder.path());
        let root = folder.path().display().to_string();
        fs::create_dir_all(folder.path().join("run")).unwrap();
        let credential = format!("proxy_set_header X-API-Key \"{key}\";\n");
        fs::write(folder.path().join("rave.router-key"), credential).unwrap();
        let mut settings = fs::read_to_string(folder.path().join("etc/rave/nginx.conf")).unwrap();
        for (from, to) in [
            ("/run/rave-gateway", format!("{root}/run")),
            ("/run/credentials/nginx.service", root.clone()),
            ("/run/rave/health.sock", format!("{root}/health.sock")),
            ("/usr/lib/rave/pages", format!("{root}/usr/lib/rave/pages")),
            ("/etc/rave/gateway.d", format!("{root}/etc/rave/gateway.d")),
        ] {
            assert!(settings.contains(from), "{from} is not in the gateway's configuration");
            settings = settings.replace(from, &to);
        }
        // Started as root, nginx would run its workers as nobody, who cannot read this test's folder; in the guest it
        // is not root.
        settings = settings.replace("worker_processes", "user root;\nworker_processes");
        let file = folder.path().join("nginx.conf");
        fs::write(&file, settings).unwrap();
        let log = folder.path().join("nginx.log");
        let nginx = Running::start(command("nginx").args(["-e", "stderr", "-c"]).arg(&file), &log);
        wait_for("nginx", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok());
        Self { port, kanban, router, folder, _nginx: nginx }
    }

    /// Sends a request and reads the whole answer.
    pub(crate) fn ask(&self, path: &str, headers: &str) -> String {
        ask(self.port, path, headers)
    }
}

pub(crate) fn ask(port: u16, path: &str, headers: &str) -> String {
    let mut stream = connect(port);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n{headers}\r\n")
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Posts JSON to a service and returns the JSON of its answer.
pub(crate) fn post(port: u16, path: &str, body: &serde_json::Value) -> serde_json::Value {
    let mut stream = connect(port);
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.0\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, json) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

pub(crate) fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

/// A server that reads the head of each request and calls `answer`.
fn upstream(port: u16, answer: impl Fn(&str, &mut TcpStream) + Send + 'static) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let head = read_head(&stream);
            answer(&head, &mut stream);
        }
    });
}

fn read_head(stream: impl std::io::Read) -> String {
    let mut head = String::new();
    let mut reader = BufReader::new(stream);
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or_default() > 0 {}
    head
}

#[test]
fn nginx_accepts_the_configuration_without_key_and_extra_files() {
    or_skip!(has("nginx"));
    let gateway = Gateway::start("k");
    fs::remove_file(gateway.folder.path().join("rave.router-key")).unwrap();
    fs::remove_dir(gateway.folder.path().join("etc/rave/gateway.d")).unwrap();
    let file = gateway.folder.path().join("nginx.conf");
    let output = run(command("nginx").args(["-t", "-e", "stderr", "-c"]).arg(file));
    let printed = text(&output);
    // Only root can become another user.
    let warned = printed
        .lines()
        .any(|line| line.contains("[warn]") && !line.contains("the \"user\" directive makes sense only"));
    assert!(output.status.success() && !warned, "{printed}");
}

#[test]
fn each_failed_service_has_a_page_with_its_name_and_log_command() {
    or_skip!(has("nginx"));
    let gateway = Gateway::start("k");
    for (path, title, unit) in [
        ("/", "Vibe Kanban", "vibe-kanban.service"),
        ("/api/projects", "Vibe Kanban", "vibe-kanban.service"),
        ("/ccr-ui/", "Claude Code Router", "claude-code-router.service"),
        ("/ccr-ui/api/config", "Claude Code Router", "claude-code-router.service"),
        ("/healthz", "The health report", "rave-health.service"),
    ] {
        let answer = gateway.ask(path, "");
        assert_eq!(status(&answer), "502", "{path}: {answer}");
        assert!(answer.contains("text/html"), "{path}: {answer}");
        assert!(answer.contains(&format!("<h1>{title} is not available</h1>")), "{path}: {answer}");
        assert!(answer.contains(&format!("journalctl -u {unit} -b")), "{path}: {answer}");
    }
}

#[test]
fn an_upstreams_own_error_passes_unchanged() {
    or_skip!(has("nginx"));
    let gateway = Gateway::start("k");
    upstream(gateway.kanban, |_, stream| {
        let _ = stream
            .write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmine");
    });
    assert!(gateway.ask("/api/x", "").ends_with("\r\n\r\nmine"));
}

#[test]
fn events_are_not_buffered() {
    or_skip!(has("nginx"));
    let gateway = Gateway::start("k");
    let (go, wait) = std::sync::mpsc::channel::<()>();
    upstream(gateway.kanban, move |_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: one\n\n");
        let _ = wait.recv_timeout(Duration::from_secs(20));
        let _ = stream.write_all(b"data: two\n\n");
    });
    let mut stream = connect(gateway.port);
    write!(stream, "GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut got = String::new();
    let mut buffer = [0; 4096];
    while !got.contains("data: one") {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "the stream ended: {got}");
        got.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    // The first event arrived while the upstream still holds back the second.
    go.send(()).unwrap();
    while !got.contains("data: two") {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "the stream ended: {got}");
        got.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
}

#[test]
fn a_websocket_is_upgraded_and_carries_bytes_both_ways() {
    or_skip!(has("nginx"));
    let gateway = Gateway::start("k");
    upstream(gateway.kanban, |head, stream| {
        let lower = head.to_lowercase();
        assert!(lower.contains("upgrade: websocket") && lower.contains("connection: upgrade"), "{head}");
        let _ = stream.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        );
        let mut buffer = [0; 64];
        while let Ok(count) = stream.read(&mut buffer) {
            if count == 0 || stream.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
    });
    let mut stream = connect(gateway.port);
    write!(
        stream,
        "GET /api/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .unwrap();
    assert!(read_head(&stream).starts_with("HTTP/1.1 101"));
    for message in [b"first!", b"second"] {
        stream.write_all(message).unwrap();
        let mut back = [0; 6];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, message);
    }
}

#[test]
fn only_pages_of_the_gateway_get_the_routers_key() {
    or_skip!(has("nginx"));
    let gateway = Gateway::start("the-key");
    upstream(gateway.router, |head, stream| {
        let length = head.len();
        let _ =
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{head}");
    });
    let own = format!("Origin: http://localhost:{}\r\n", gateway.port);
    for allowed in ["", &own, "Sec-Fetch-Site: same-origin\r\n", "Sec-Fetch-Site: none\r\n"] {
        let answer = gateway.ask("/ccr-ui/api/config", allowed);
        assert!(
            answer.contains("GET /api/config HTTP/1.1") && answer.contains("X-API-Key: the-key"),
            "{answer}"
        );
        assert!(!answer.contains("Origin: http"), "{answer}");
    }
    for refused in [
        "Origin: http://elsewhere.example\r\n",
        "Origin: null\r\n",
        "Origin: http://localhost:1\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
    ] {
        assert_eq!(status(&gateway.ask("/ccr-ui/api/config", refused)), "403", "{refused}");
    }
    // A foreign name that leads here, as its own origin; and a name that rave.toml allows.
    for (host, expected) in [
        ("evil.example", "403"),
        ("box.example.org", "200"),
        ("Box.Example.Org:8443", "200"),
        ("boxaexample.org", "403"),
        ("a.box.example.org", "403"),
    ] {
        let mut stream = connect(gateway.port);
        write!(stream, "GET /ccr-ui/api/config HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(status(&answer), expected, "{host}");
    }
    // Pages and other requests do not get the key.
    assert!(!gateway.ask("/ccr-ui/", "").contains("X-API-Key"));
}

#[test]
fn the_report_is_served_from_its_socket() {
    or_skip!(has("nginx"));
    let gateway = Gateway::start("k");
    let listener = UnixListener::bind(gateway.folder.path().join("health.sock")).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let head = read_head(&stream);
            assert!(head.starts_with("GET /healthz HTTP/1.1\r\n"), "{head}");
            let _ = stream.write_all(
                b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
            );
        }
    });
    let started = Instant::now();
    let answer = gateway.ask("/healthz", "");
    assert_eq!(status(&answer), "503");
    assert!(answer.contains("application/json") && answer.ends_with("{}"), "{answer}");
    assert!(started.elapsed() < Duration::from_secs(5));
}
