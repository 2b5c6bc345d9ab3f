//! The host's own proxy: if there is one, it makes connections by name (CONNECT; RFC 9110, 9.3.6).

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding as _};

use crate::policy::Destination;
use crate::rule;

/// The timeouts of connecting to each address of the proxy, and of its answer.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(30);
/// The longest answer, in bytes.
const HEAD: usize = 8 << 10;

/// Which connections use a proxy, according to the variables of the user's environment (curl(1), "ENVIRONMENT").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// `https_proxy`, for every port but 80.
    https: Option<Proxy>,
    /// `http_proxy`, for port 80.
    http: Option<Proxy>,
    /// `no_proxy`.
    direct: Vec<Direct>,
}

/// The parts of a proxy's URL, `[SCHEME://][USER[:PASSWORD]@]HOST[:PORT]`, as most programs parse it (curl(1),
/// `--proxy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyUrl<'a> {
    /// `http` if the URL has none.
    pub scheme: &'a str,
    /// User and password, percent-encoded.
    pub user: Option<&'a str>,
    /// Host and port as written.
    pub place: &'a str,
}

impl<'a> ProxyUrl<'a> {
    /// Splits a URL.
    pub fn of(url: &'a str) -> Self {
        let (scheme, rest) = url.trim().split_once("://").unwrap_or(("http", url.trim()));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, place) =
            authority.rsplit_once('@').map_or((None, authority), |(user, place)| (Some(user), place));
        Self { scheme, user, place }
    }

    /// The host, with an IPv6 address without its brackets, and the port if there is one; nothing if they are invalid.
    pub fn host_and_port(&self) -> Option<(&'a str, Option<u16>)> {
        let (host, port) = match self.place.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') && !port.ends_with(']') => {
                (host, Some(port.parse().ok()?))
            }
            _ => (self.place, None),
        };
        let host = host.trim_matches(['[', ']']);
        (!host.is_empty()).then_some((host, port))
    }
}

/// One proxy.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    /// The URL without credentials, for messages.
    shown: String,
    /// Its host and port; nothing if its scheme is not supported.
    place: Option<(String, u16)>,
    /// The value of `proxy-authorization`.
    authorization: Option<String>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// An entry of `no_proxy`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Direct {
    All,
    /// A name and all names below it.
    Name(String),
    /// An address, or a network with the length of its prefix.
    Range(rule::Network),
}

impl Proxies {
    /// The proxies in this process's environment.
    pub fn of_this_process() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.https.is_none() && self.http.is_none()
    }

    /// The proxies in these variables; an empty one is ignored. `HTTP_PROXY` in capitals is ignored too: in a CGI
    /// program a client sets it.
    pub fn of(get: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| get(name).filter(|value| !value.trim().is_empty());
        let either = |name: &str| get(name).or_else(|| get(&name.to_uppercase()));
        let all = || either("all_proxy");
        let direct = either("no_proxy").unwrap_or_default();
        Self {
            https: either("https_proxy").or_else(all).as_deref().map(Proxy::of),
            http: get("http_proxy").or_else(all).as_deref().map(Proxy::of),
            direct: direct.split([',', ' ']).filter_map(Direct::of).collect(),
        }
    }

    /// The proxy for a connection; nothing if it is made directly.
    pub(crate) fn of_connection(&self, to: &Destination, port: u16) -> Option<&Proxy> {
        let proxy = if port == 80 { &self.http } else { &self.https };
        proxy.as_ref().filter(|_| !self.direct.iter().any(|direct| direct.has(to)))
    }
}

impl Direct {
    fn of(word: &str) -> Option<Self> {
        let word = word.trim_end_matches('.');
        if word == "*" {
            return Some(Self::All);
        }
        if let Ok(range) = word.replace(['[', ']'], "").parse() {
            return Some(Self::Range(range));
        }
        // `.example.com` and `*.example.com` are in use too.
        let name = word.trim_start_matches('*').trim_start_matches('.');
        (!name.is_empty()).then(|| Self::Name(name.to_ascii_lowercase()))
    }

    fn has(&self, to: &Destination) -> bool {
        match (self, to) {
            (Self::All, _) => true,
            (Self::Name(below), Destination::Name(name)) => {
                let head = name.as_str().strip_suffix(below.as_str());
                head.is_some_and(|head| head.is_empty() || head.ends_with('.'))
            }
            (Self::Range(range), Destination::Address(address)) => range.contains(*address),
            _ => false,
        }
    }
}

impl Proxy {
    /// Parses a URL.
    fn of(url: &str) -> Self {
        let text = url.trim();
        let url = ProxyUrl::of(text);
        // A `/`, `?` or `#` in a password ends the authority too early: what precedes it may be a part of the password.
        let is_torn = url.user.is_none() && text.contains('@');
        let is_http = url.scheme.eq_ignore_ascii_case("http") && !is_torn;
        let place = url.host_and_port().filter(|_| is_http);
        let shown = if is_torn { "(a password that is not percent-encoded)" } else { url.place };
        let basic = |user: &str| {
            let user = if user.contains(':') { user.to_owned() } else { format!("{user}:") };
            format!("Basic {}", Base64::encode_string(&percent_decoded(&user)))
        };
        Self {
            shown: format!("{}://{shown}", url.scheme),
            place: place.map(|(host, port)| (host.to_owned(), port.unwrap_or(80))),
            authorization: url.user.map(basic),
        }
    }

    /// Connects to a host through the proxy. Fails with the reason.
    pub(crate) fn connect(&self, host: &str, port: u16) -> Result<TcpStream, String> {
        let Some(place) = &self.place else {
            return Err(format!(
                "the proxy {} of this host's environment is not http://HOST:PORT",
                self.shown
            ));
        };
        let unreachable =
            |error: io::Error| format!("the proxy {} of this host cannot be reached: {error}", self.shown);
        let mut stream = reach(place).map_err(unreachable)?;
        // An IPv6 address is in brackets (RFC 3986, 3.2.2).
        let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let authorization = self.authorization.as_ref();
        let authorization =
            authorization.map(|value| format!("proxy-authorization: {value}\r\n")).unwrap_or_default();
        let request = format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n{authorization}\r\n");
        stream.write_all(request.as_bytes()).map_err(unreachable)?;
        let head = read_head(&mut stream).map_err(unreachable)?;
        match status(&head) {
            Some(code) if code.starts_with('2') => {
                stream.set_read_timeout(None).map_err(unreachable)?;
                stream.set_write_timeout(None).map_err(unreachable)?;
                Ok(stream)
            }
            Some(code) => Err(format!("the proxy {} of this host answers {code}", self.shown)),
            None => Err(format!("the proxy {} of this host does not answer in HTTP/1.1", self.shown)),
        }
    }
}

fn reach((host, port): &(String, u16)) -> io::Result<TcpStream> {
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    for address in (host.as_str(), *port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => {
                stream.set_write_timeout(Some(CONNECT))?;
                return Ok(stream);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Reads up to the empty line and not a byte further: what follows belongs to the tunnel.
fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + ANSWER;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) if head.len() == HEAD => return Err(io::ErrorKind::InvalidData.into()),
            Ok(_) => head.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(head)
}

/// The status code and the reason phrase (RFC 9112, 4).
fn status(head: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(head).ok()?.lines().next()?;
    let code = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "))?;
    let is_code = code.len() >= 3 && code.bytes().take(3).all(|byte| byte.is_ascii_digit());
    (is_code && code.chars().all(|c| !c.is_control())).then_some(code)
}

/// Decodes `%40` to `@` (RFC 3986, 2.1); an invalid code stays as it is.
fn percent_decoded(text: &str) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let mut decoded = Vec::new();
    while let [byte, after @ ..] = rest {
        let digits = after.get(..2).filter(|two| *byte == b'%' && two.iter().all(u8::is_ascii_hexdigit));
        let code = digits.and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        decoded.push(code.unwrap_or(*byte));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Proxies {
        let variables: Vec<(String, String)> =
            variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Proxies::of(|name| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()))
    }

    fn to(text: &str) -> Destination {
        text.parse().map_or_else(|_| Destination::Name(text.parse().unwrap()), Destination::Address)
    }

    fn shown(proxies: &Proxies, text: &str, port: u16) -> Option<String> {
        proxies.of_connection(&to(text), port).map(|proxy| format!("{proxy:?}"))
    }

    #[test]
    fn each_port_uses_the_proxy_of_its_variable() {
        let proxies = of(&[("http_proxy", "a.example:1"), ("HTTPS_PROXY", "http://b.example:2")]);
        assert_eq!(shown(&proxies, "x.example", 80).as_deref(), Some("http://a.example:1"));
        assert_eq!(shown(&proxies, "x.example", 443).as_deref(), Some("http://b.example:2"));
        assert_eq!(shown(&proxies, "192.0.43.8", 22).as_deref(), Some("http://b.example:2"));
        let all = of(&[("ALL_PROXY", "c.example"), ("HTTP_PROXY", "evil.example"), ("https_proxy", " ")]);
        for port in [80, 443] {
            assert_eq!(shown(&all, "x.example", port).as_deref(), Some("http://c.example"));
        }
        assert_eq!(shown(&of(&[]), "x.example", 443), None);
    }

    #[test]
    fn hosts_in_no_proxy_are_reached_directly() {
        let list = "corp.example,.lab.example *.dev.example., 10.0.0.0/8,192.0.2.7,[2001:db8::]/32";
        let proxies = of(&[("https_proxy", "p.example"), ("no_proxy", list)]);
        for direct in [
            "corp.example",
            "a.corp.example",
            "lab.example",
            "x.dev.example",
            "10.9.8.7",
            "192.0.2.7",
            "2001:db8::1",
        ] {
            assert_eq!(shown(&proxies, direct, 443), None, "{direct}");
        }
        for not in ["notcorp.example", "example", "11.0.0.1", "192.0.2.8", "2001:db9::1"] {
            assert!(shown(&proxies, not, 443).is_some(), "{not}");
        }
        assert_eq!(shown(&of(&[("https_proxy", "p.example"), ("no_proxy", "*")]), "a.example", 443), None);
    }

    #[test]
    fn a_url_is_parsed_and_its_password_is_never_shown() {
        let proxy = Proxy::of("http://me:p%40ss@proxy.example:3128/");
        assert_eq!(proxy.place, Some(("proxy.example".into(), 3128)));
        assert_eq!(proxy.authorization, Some(format!("Basic {}", Base64::encode_string(b"me:p@ss"))));
        assert_eq!(format!("{proxy:?}"), "http://proxy.example:3128");
        for torn in
            ["http://me:S3cr/et@p.example:3128", "http://me:S3cr#et@p.example", "me:S3cr?et@p.example"]
        {
            let proxy = Proxy::of(torn);
            let why = proxy.connect("a.example", 443).unwrap_err();
            assert!(!why.contains("S3cr") && why.contains("not percent-encoded"), "{why}");
            assert!(!format!("{proxy:?}").contains("S3cr"), "{proxy:?}");
        }
        let place = |url: &str| Proxy::of(url).place;
        assert_eq!(place("[2001:db8::1]:8080"), Some(("2001:db8::1".into(), 8080)));
        assert_eq!(place("HTTP://p.example"), Some(("p.example".into(), 80)));
        for unknown in ["socks5h://p.example:1080", "https://p.example", "http://p.example:x", "http://"] {
            let why = Proxy::of(unknown).connect("a.example", 443).unwrap_err();
            assert!(why.ends_with("is not http://HOST:PORT"), "{why}");
        }
    }

    #[test]
    fn an_incomplete_percent_code_is_kept() {
        assert_eq!(percent_decoded("%4"), b"%4");
        assert_eq!(percent_decoded("a%zz%20"), b"a%zz ");
        assert_eq!(percent_decoded("a%+1"), b"a%+1");
    }
}
