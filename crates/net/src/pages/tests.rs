use super::*;

const HERE: &str = "box.localhost:8080";

fn exchange() -> Exchange {
    Exchange::new(Site { sandbox: "box".into(), port: 8080 })
}

/// The result of a request: what the guest gets, or the client's answer with this status.
fn ask(request: &str) -> Result<String, String> {
    let mut exchange = exchange();
    ask_of(&mut exchange, request, true)
}

fn ask_of(exchange: &mut Exchange, request: &str, is_closed: bool) -> Result<String, String> {
    match exchange.take_client(request.as_bytes(), is_closed) {
        None => Ok(String::from_utf8(exchange.to_guest.clone()).unwrap()),
        Some(why) => {
            assert!(exchange.is_refused() && exchange.to_guest.is_empty());
            let page = String::from_utf8(exchange.to_client.clone()).unwrap();
            assert!(page.contains("; sandbox\r\n"), "{page}");
            Err(format!("{} {why}", &page[9..12]))
        }
    }
}

/// What the client gets for an answer of the guest.
fn answer(to: &str, answer: &str, is_closed: bool) -> String {
    let mut exchange = exchange();
    assert_eq!(exchange.take_client(to.as_bytes(), is_closed), None);
    exchange.take_guest(answer.as_bytes(), is_closed);
    String::from_utf8(exchange.to_client).unwrap()
}

fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {HERE}\r\n{fields}\r\n")
}

#[test]
fn requests_for_any_name_of_the_sandbox_are_forwarded() {
    for host in ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "BOX.localhost:8080"] {
        let request = format!("GET /x?y HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n");
        assert_eq!(ask(&request), Ok(request));
    }
}

#[test]
fn foreign_names_that_resolve_to_the_page_are_refused() {
    for host in [
        "evil.example:8080",
        "evil.example",
        "box.localhost",
        "box.localhost:8081",
        "other.localhost:8080",
        "a.box.localhost:8080",
        "box.localhost.evil.example:8080",
        "127.0.0.1.evil.example:8080",
        "127.0.0.2:8080",
        "user@box.localhost:8080",
        "",
    ] {
        let refusal = ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).unwrap_err();
        assert!(refusal.starts_with("421"), "{host}: {refusal}");
    }
    assert!(ask("GET / HTTP/1.1\r\n\r\n").unwrap_err().starts_with("421"));
    assert!(ask("GET / HTTP/1.0\r\n\r\n").unwrap_err().starts_with("421"));
}

#[test]
fn writes_come_from_the_page_itself_or_from_no_browser() {
    let post = |fields: &str| {
        ask(&format!("POST / HTTP/1.1\r\nHost: {HERE}\r\nContent-Length: 2\r\n{fields}\r\nok"))
    };
    assert!(post("").is_ok());
    assert!(post(&format!("Origin: http://{HERE}\r\nSec-Fetch-Site: same-origin\r\n")).is_ok());
    for fields in [
        "Origin: http://evil.example\r\n".to_owned(),
        "Origin: null\r\n".to_owned(),
        format!("Origin: https://{HERE}\r\n"),
        "Origin: http://localhost:8080\r\n".to_owned(),
        "Origin: http://box.localhost:8081\r\n".to_owned(),
        format!("Origin: http://{HERE}.evil.example\r\n"),
        "Sec-Fetch-Site: cross-site\r\n".to_owned(),
        "Sec-Fetch-Site: same-site\r\n".to_owned(),
    ] {
        assert!(post(&fields).unwrap_err().starts_with("403"), "{fields}");
    }
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"] {
        let request = format!("{method} / HTTP/1.1\r\nHost: {HERE}\r\nOrigin: http://evil.example\r\n\r\n");
        assert!(ask(&request).unwrap_err().starts_with("403"), "{method}");
    }
    assert!(ask(&get("Origin: http://evil.example\r\n")).is_ok(), "reading is the server's own affair");
}

#[test]
fn a_service_worker_is_installed_only_for_the_sandboxs_own_name() {
    let script = |host: &str, is_closed| {
        let request = format!("GET /sw.js HTTP/1.1\r\nHost: {host}:8080\r\nService-Worker: script\r\n\r\n");
        ask_of(&mut exchange(), &request, is_closed)
    };
    assert!(script("box.localhost", false).is_ok());
    assert!(
        script("box.localhost", true).unwrap_err().starts_with("403"),
        "it could answer without a policy"
    );
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        assert!(script(host, false).unwrap_err().starts_with("403"), "{host}");
    }
}

#[test]
fn no_other_page_leads_to_the_hosts_own_name() {
    let navigate = |host: &str, site: &str| {
        ask(&format!("GET /c HTTP/1.1\r\nHost: {host}:8080\r\nSec-Fetch-Site: {site}\r\nCookie: a=b\r\n\r\n"))
    };
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        assert!(navigate(host, "cross-site").unwrap_err().starts_with("403"), "{host}");
        assert!(navigate(host, "none").is_ok() && navigate(host, "same-origin").is_ok(), "{host}");
    }
    assert!(navigate("box.localhost", "cross-site").is_ok(), "it has no cookies of others");
}

#[test]
fn what_a_page_sends_is_not_redirected_elsewhere() {
    let redirect = |method: &str, status: u16, location: &str, is_closed| {
        let request = format!("{method} / HTTP/1.1\r\nHost: {HERE}\r\nContent-Length: 0\r\n\r\n");
        let answered = format!("HTTP/1.1 {status} R\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        answer(&request, &answered, is_closed)
    };
    for location in [
        "http://192.168.1.1/",
        "//evil.example/",
        "/\\evil.example/",
        "x",
        "/\t/evil.example",
        "http://box.localhost:8080.evil.example/",
    ] {
        for status in [307, 308] {
            assert!(redirect("POST", status, location, true).starts_with("HTTP/1.1 502"), "{location}");
            assert!(redirect("POST", status, location, false).contains(location));
        }
        assert!(redirect("GET", 307, location, true).contains(location));
        assert!(redirect("POST", 303, location, true).contains(location), "a GET follows");
    }
    for location in ["/next", "http://box.localhost:8080/next"] {
        assert!(redirect("POST", 307, location, true).contains(location), "{location}");
    }
}

#[test]
fn websockets_are_only_for_the_page_itself() {
    let socket = |fields: &str| {
        ask(&get(&format!("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n{fields}")))
    };
    assert!(socket(&format!("Origin: http://{HERE}\r\n")).is_ok());
    assert!(socket("").is_ok());
    assert!(socket("Origin: http://evil.example\r\n").unwrap_err().starts_with("403"));
    assert!(ask(&get("Connection: Upgrade\r\nUpgrade: h2c\r\n")).unwrap_err().starts_with("501"));
    assert!(ask(&get("Upgrade: websocket\r\n")).unwrap_err().starts_with("501"));
}

#[test]
fn non_strict_http_is_refused() {
    for (request, status) in [
        ("\x16\x03\x01\x02", "400"),
        ("SSH-2.0-x\r\n\r\n", "400"),
        ("get / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/2.0\r\n\r\n", "400"),
        ("GET /  HTTP/1.1\r\n\r\n", "400"),
        ("GET http://box.localhost:8080/ HTTP/1.1\r\nHost: box.localhost:8080\r\n\r\n", "400"),
        ("CONNECT a.example:443 HTTP/1.1\r\nHost: box.localhost:8080\r\n\r\n", "405"),
        ("GET / HTTP/1.1\r\nHost: box.localhost:8080\r\nHost: evil.example\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost : box.localhost:8080\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: box.localhost:8080\r\n folded: x\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: box.localhost:8080\r\nX: a\nHost: evil.example\r\n\r\n", "400"),
        (
            "POST / HTTP/1.1\r\nHost: box.localhost:8080\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400",
        ),
        ("POST / HTTP/1.1\r\nHost: box.localhost:8080\r\nContent-Length: +1\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: box.localhost:8080\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "400"),
    ] {
        let refusal = ask(request);
        assert!(
            refusal.as_ref().is_err_and(|refusal| refusal.starts_with(status)),
            "{request:?}: {refusal:?}"
        );
    }
    assert!(ask(&"A".repeat(MAX_HEAD)).unwrap_err().contains("too long"));
    assert!(ask(&get(&"A: b\r\n".repeat(200))).unwrap_err().contains("too many"));
}

#[test]
fn a_bad_chunk_is_refused_after_the_head_was_sent() {
    for body in ["x\r\n", "\r\n", "1\r\nab\r\n", "-1\r\n", "1\nab", "fffffffffffffffff\r\n"] {
        let mut exchange = exchange();
        let head = format!("POST / HTTP/1.1\r\nHost: {HERE}\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        assert!(exchange.take_client(head.as_bytes(), true).is_some(), "{body:?}");
    }
}

#[test]
fn every_request_of_a_connection_is_checked_for_any_segmentation() {
    let first = format!(
        "POST /a HTTP/1.1\r\nHost: {HERE}\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: x\r\n\r\n"
    );
    let passed = format!(
        "POST /a HTTP/1.1\r\nHost: {HERE}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    );
    let both = format!("{first}GET /b HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    for size in [1, 5, 1000] {
        let mut exchange = exchange();
        for piece in both.as_bytes().chunks(size) {
            assert_eq!(exchange.take_client(piece, false), None);
        }
        assert_eq!(
            String::from_utf8_lossy(&exchange.to_guest),
            passed,
            "the second waits for the answer to the first"
        );
        let mut refused = None;
        for piece in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".chunks(size) {
            refused = refused.or(exchange.take_guest(piece, false));
        }
        assert!(refused.unwrap().contains("evil.example"));
        assert!(exchange.is_refused());
    }
}

#[test]
fn a_confined_page_connects_only_to_itself_and_loses_permissive_headers() {
    let fields = "Content-Type: text/html\r\nService-Worker-Allowed: /\r\nSet-Cookie: a=b; Domain=localhost; Path=/; HttpOnly\r\n\
        Set-Cookie: domain=x\r\nReport-To: {}\r\nLink: <http://evil.example>; rel=preconnect\r\nAlt-Svc: h3=\":1\"\r\nSpeculation-Rules: \"/rules\"\r\n\
        Content-Security-Policy: img-src *; report-uri http://evil.example/; script-src 'self'\r\nContent-Length: 0\r\n";
    let closed = answer(&get(""), &format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), true);
    let has = |text: &str| closed.contains(text);
    assert!(has("default-src 'self'") && has("connect-src 'self' ws://box.localhost:8080"), "{closed}");
    assert!(has("form-action 'self'") && has("X-DNS-Prefetch-Control: off"), "{closed}");
    assert!(
        has("Set-Cookie: a=b; Path=/; HttpOnly")
            && has("Set-Cookie: domain=x\r\n")
            && has("Content-Security-Policy: img-src *; script-src 'self'"),
        "{closed}"
    );
    for gone in
        ["Service-Worker", "localhost;", "Report-To", "evil.example", "Alt-Svc", "Link", "Speculation"]
    {
        assert!(!has(gone), "{gone}: {closed}");
    }
    let open = answer(&get(""), &format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), false);
    assert!(
        !open.contains("default-src") && !open.contains("Service-Worker") && !open.contains("Domain"),
        "{open}"
    );
    for status in ["304 Not Modified", "404 Not Found", "103 Early Hints"] {
        let response = answer(&get(""), &format!("HTTP/1.1 {status}\r\nLink: <x>\r\n\r\n"), true);
        assert!(response.contains("default-src 'self'") && !response.contains("Link"), "{response}");
    }
}

#[test]
fn websockets_and_event_streams_are_forwarded_unbuffered() {
    let mut exchange = exchange();
    let request = get("Connection: Upgrade\r\nUpgrade: websocket\r\n");
    assert_eq!(exchange.take_client(request.as_bytes(), true), None);
    exchange.to_guest.clear();
    let switching =
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x01a";
    assert_eq!(exchange.take_guest(switching, true), None);
    assert!(exchange.to_client.ends_with(b"\r\n\r\n\x81\x01a"));
    exchange.to_client.clear();
    assert_eq!(exchange.take_client(b"\x81\x01b\xff", true), None);
    assert_eq!(exchange.to_guest, b"\x81\x01b\xff");

    let mut exchange = self::exchange();
    assert_eq!(exchange.take_client(get("").as_bytes(), true), None);
    exchange.take_guest(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", true);
    exchange.to_client.clear();
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        assert_eq!(exchange.take_guest(event.as_bytes(), true), None);
        assert_eq!(exchange.to_client, event.as_bytes(), "at once");
        exchange.to_client.clear();
    }
}

#[test]
fn an_invalid_response_is_reported_as_a_fault_of_the_service() {
    for (response, why) in [
        ("\x00\x01", "not HTTP"),
        ("SSH-2.0-OpenSSH\r\n\r\n", "does not answer with HTTP/1"),
        ("HTTP/1.1 20 OK\r\n\r\n", "does not answer with HTTP/1"),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", "not requested"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "two content-length"),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.0 and chunked"),
        ("HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\n\r\n", "control characters"),
    ] {
        let got = answer(&get(""), response, true);
        assert!(got.starts_with("HTTP/1.1 502") && got.contains(why), "{response:?}: {got}");
    }
    let mut exchange = exchange();
    assert!(exchange.take_guest(b"HTTP/1.1 200 OK\r\n\r\n", true).unwrap().contains("without a request"));
}

#[test]
fn a_response_without_a_body_does_not_swallow_the_next() {
    let mut exchange = exchange();
    for (method, response) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"),
        ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"),
    ] {
        exchange.to_guest.clear();
        exchange.to_client.clear();
        let request = format!("{method} / HTTP/1.1\r\nHost: {HERE}\r\n\r\n");
        assert_eq!(exchange.take_client(request.as_bytes(), false), None);
        assert_eq!(String::from_utf8_lossy(&exchange.to_guest), request);
        assert_eq!(exchange.take_guest(response.as_bytes(), false), None);
        assert_eq!(String::from_utf8_lossy(&exchange.to_client), response);
    }
}

#[test]
fn a_body_where_browsers_expect_none_is_not_forwarded() {
    let hidden = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    for status in ["204 No Content", "205 Reset Content", "304 Not Modified", "103 Early Hints"] {
        for length in
            [format!("Content-Length: {}\r\n", hidden.len()), "Transfer-Encoding: chunked\r\n".into()]
        {
            let response = format!("HTTP/1.1 {status}\r\n{length}X: y\r\n\r\n");
            let mut exchange = exchange();
            // The next request is already waiting.
            assert_eq!(exchange.take_client(get("").repeat(2).as_bytes(), true), None);
            exchange.take_guest(response.as_bytes(), true);
            let got = String::from_utf8(std::mem::take(&mut exchange.to_client)).unwrap();
            assert!(got.contains("X: y") && !got.contains("chunked"), "{got}");
            assert_eq!(got.contains("Content-Length: 0"), status.starts_with("205"), "{got}");
            assert!(!got.contains(&format!("Content-Length: {}", hidden.len())), "{got}");
            exchange.take_guest(hidden.as_bytes(), true);
            let next = String::from_utf8(exchange.to_client).unwrap();
            assert!(next.contains("default-src 'self'"), "an answer of its own: {next}");
        }
    }
}
