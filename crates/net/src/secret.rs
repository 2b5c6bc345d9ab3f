//! Secrets of the user, each for requests to one host: the guest has a placeholder, which is replaced here.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::credential::{self, Placed};
use crate::head::Head;
use crate::name::{HostName, NamePattern};
use crate::policy::{Check, Destination, Grant, Policy};

/// The allowed length of a secret, in bytes: a shorter one would match too much of an answer, and a longer one does not
/// fit into a request's head.
const LENGTH: std::ops::RangeInclusive<usize> = 8..=8192;
/// How long to wait before reading a secret again after a failure.
const PAUSE: Duration = Duration::from_secs(10);

/// Returns a secret, or the reason why it cannot be read.
pub type Source = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// A secret and its destination.
#[derive(Clone)]
pub struct Secret {
    /// The user's name for it.
    pub name: String,
    /// The host that it is for, which speaks TLS.
    pub host: HostName,
    /// The host's port.
    pub port: u16,
    /// The header field that it goes into.
    pub header: String,
    /// What the guest has in its place.
    pub placeholder: String,
    /// Called at the first connection to the host.
    pub source: Source,
}

/// Omits the source, which may know the secret.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("name", &self.name).field("host", &self.host).finish_non_exhaustive()
    }
}

impl Secret {
    /// Whether a header field can carry a secret. Excluded are fields that describe the request or its host, and
    /// cookies, of which one field has many.
    pub fn fits(header: &str) -> bool {
        credential::can_be_replaced(header)
    }

    /// Whether the policy lets the guest reach its host.
    pub fn is_reached(&self, policy: &Policy) -> bool {
        policy.connect(&Destination::Name(self.host.clone()), self.port).is_ok()
    }
}

/// A secret and the result of reading it.
pub(crate) struct Held {
    pub(crate) secret: Secret,
    known: Mutex<Option<(Instant, Result<String, String>)>>,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.secret.fmt(f)
    }
}

impl Held {
    fn new(secret: Secret) -> Self {
        Self { secret, known: Mutex::default() }
    }

    /// The secret, or the reason why there is none.
    pub(crate) fn value(&self) -> Result<String, String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((_, Ok(value))) => return Ok(value.clone()),
            Some((at, failed)) if at.elapsed() < PAUSE => return failed.clone(),
            _ => {}
        }
        let read = (self.secret.source)().and_then(|value| {
            let is_plain = value.bytes().all(|byte| byte.is_ascii_graphic());
            match LENGTH.contains(&value.len()) {
                true if is_plain => Ok(value),
                true => Err("it has characters that are not allowed in a header field".into()),
                false => Err(format!("it is not {} to {} characters long", LENGTH.start(), LENGTH.end())),
            }
        });
        let read = read.map_err(|why| format!("the secret {} cannot be read: {why}", self.secret.name));
        known.insert((Instant::now(), read)).1.clone()
    }
}

/// All secrets of the user.
#[derive(Debug, Default)]
pub(crate) struct Secrets(Vec<Arc<Held>>);

/// The secrets of one host. Without any, its requests are passed on unchanged.
#[derive(Debug, Clone, Default)]
pub(crate) struct OfHost(Vec<Arc<Held>>);

impl Secrets {
    pub(crate) fn new(secrets: Vec<Secret>) -> Self {
        Self(secrets.into_iter().map(|secret| Arc::new(Held::new(secret))).collect())
    }

    fn of(&self, host: &HostName) -> impl Iterator<Item = &Arc<Held>> {
        self.0.iter().filter(move |held| held.secret.host == *host)
    }

    /// The secrets for a host and port; nothing if the host has no secret at any port.
    pub(crate) fn at(&self, host: &HostName, port: u16) -> Option<OfHost> {
        self.of(host).next()?;
        Some(OfHost(self.of(host).filter(|held| held.secret.port == port).cloned().collect()))
    }

    /// The grant of a policy, extended so that everything is checked that can carry a credential to a host with a
    /// secret.
    pub(crate) fn guard(&self, grant: Grant, to: &Destination, port: u16) -> Grant {
        let Destination::Name(host) = to else { return grant };
        let guarded: Vec<String> = self.of(host).map(|held| held.secret.header.clone()).collect();
        if guarded.is_empty() {
            return grant;
        }
        let check = match grant.check {
            _ if port == 443 || self.of(host).any(|held| held.secret.port == port) => Check::Inspected,
            Check::Nothing if port == 80 => Check::Http,
            check => check,
        };
        Grant { check, guarded, ..grant }
    }

    /// The hosts with a secret that a policy reaches.
    pub(crate) fn inspected(&self, policy: &Policy) -> impl Iterator<Item = NamePattern> {
        let reached = |host: &HostName, port| policy.connect(&Destination::Name(host.clone()), port).is_ok();
        self.0
            .iter()
            .map(|held| &held.secret)
            .filter(move |secret| reached(&secret.host, secret.port) || reached(&secret.host, 443))
            .map(|secret| NamePattern::exact(secret.host.clone()))
    }
}

impl OfHost {
    /// Their values, except those that cannot be read, whose use is refused.
    pub(crate) fn values(&self) -> Vec<String> {
        self.0.iter().filter_map(|held| held.value().ok()).collect()
    }

    /// A request's fields with secrets in place of placeholders. The answer may not be compressed, so that secrets are
    /// found in it. Fails with the reason of a refusal.
    pub(crate) fn fill<'a>(&self, head: &Head<'a>) -> Result<Filled<'a>, String> {
        let mut filled = Filled { fields: Vec::new(), used: Vec::new() };
        let mut replaced: Vec<&str> = Vec::new();
        for (name, value) in &head.fields {
            if credential::is_same(name, "accept-encoding") {
                continue;
            }
            let own = || self.0.iter().filter(|held| held.secret.header.eq_ignore_ascii_case(name));
            let resembles_a_secret = self.0.iter().any(|held| credential::is_same(&held.secret.header, name));
            if !resembles_a_secret && !credential::is_one(name) {
                filled.fields.push((name, (*value).to_owned()));
                continue;
            }
            let found = own().find_map(|held| Some((held, Placed::find(value, &held.secret.placeholder)?)));
            let is_first = !replaced.iter().any(|had| had.eq_ignore_ascii_case(name));
            let (secret, placed) = found.filter(|_| is_first).ok_or_else(|| another(name))?;
            replaced.push(name);
            filled.fields.push((name, placed.with(&secret.value()?)));
            filled.used.push(secret.secret.name.clone());
        }
        filled.fields.push(("accept-encoding", "identity".into()));
        Ok(filled)
    }
}

fn another(name: &str) -> String {
    let name: String = name.chars().take(40).collect();
    format!("its host has a secret of yours, and {name} has another credential")
}

/// The fields that are passed on in place of a request's own.
pub(crate) struct Filled<'a> {
    pub(crate) fields: Vec<(&'a str, String)>,
    /// The names of the secrets in them.
    pub(crate) used: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn secret(header: &str, placeholder: &str, source: Source) -> Secret {
        Secret {
            name: "forge".into(),
            host: "a.example".parse().unwrap(),
            port: 443,
            header: header.into(),
            placeholder: placeholder.into(),
            source,
        }
    }

    fn fixed(value: &'static str) -> Source {
        Arc::new(move || Ok(value.to_owned()))
    }

    fn fill(fields: &[(&'static str, &'static str)]) -> Result<Vec<(String, String)>, String> {
        let secrets = Secrets::new(vec![
            secret("authorization", "place-1", fixed("real-secret-1")),
            secret("x-app-key", "place-2", fixed("real-secret-2")),
            secret("x-acme", "place-3", fixed("real-secret-3")),
        ]);
        let of_host = secrets.at(&"a.example".parse().unwrap(), 443).unwrap();
        let head = Head { method: "GET", target: "/", version: "HTTP/1.1", fields: fields.to_vec() };
        let filled = of_host.fill(&head)?;
        Ok(filled.fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    #[test]
    fn placeholders_are_replaced_only_in_their_header_and_other_credentials_refused() {
        let fields = fill(&[("Authorization", "Bearer place-1"), ("X-App-Key", "place-2"), ("X", "place-1")]);
        let text: Vec<String> =
            fields.unwrap().iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(
            text,
            [
                "Authorization: Bearer real-secret-1",
                "X-App-Key: real-secret-2",
                "X: place-1",
                "accept-encoding: identity"
            ]
        );
        for name in ["Accept-Encoding", "Accept_Encoding"] {
            assert_eq!(fill(&[(name, "gzip")]).unwrap().len(), 1);
        }
        for fields in [
            &[("Authorization", "Bearer other")][..],
            &[("Authorization", "Bearer place-2")],
            &[("Authorization", "Bearer place-1, Bearer other")],
            &[("Authorization", "Bearer place-1"), ("authorization", "Bearer place-1")],
            &[("X_App_Key", "place-2")],
            &[("X_Acme", "other")],
            &[("Cookie", "a=b")],
            &[("Proxy-Authorization", "Basic YTpi")],
            &[("x_api_key", "other")],
            &[("Private-Token", "other")],
        ] {
            let why = fill(fields).unwrap_err();
            assert!(why.contains("another credential") && !why.contains("other\""), "{fields:?}: {why}");
        }
    }

    #[test]
    fn a_secret_is_read_once_and_an_unreadable_one_is_not_used() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let counts: Source = Arc::new(|| {
            ASKED.fetch_add(1, Ordering::SeqCst);
            Ok("real-secret".into())
        });
        let held = Held::new(secret("authorization", "p", counts));
        assert_eq!(
            (held.value().unwrap(), held.value().unwrap()),
            ("real-secret".into(), "real-secret".into())
        );
        assert_eq!(ASKED.load(Ordering::SeqCst), 1);
        assert!(!format!("{held:?}").contains("real"), "{held:?}");
        for (value, why) in
            [("short", "8 to"), ("two words", "characters that"), ("zeilen\r\nende", "characters")]
        {
            let error = Held::new(secret("a", "p", fixed(value))).value().unwrap_err();
            assert!(error.contains(why) && !error.contains(value), "{error}");
        }
    }

    #[test]
    fn every_route_to_a_host_with_a_secret_is_inspected() {
        let secrets = Secrets::new(vec![Secret { port: 8443, ..secret("a", "p", fixed("real-secret")) }]);
        for (rule, port, check) in [
            ("a.example", 443, Check::Inspected),
            ("a.example", 80, Check::Http),
            ("a.example:443/tcp", 443, Check::Inspected),
            ("a.example:8443/tcp", 8443, Check::Inspected),
            ("a.example:80/tcp", 80, Check::Http),
            ("a.example:22/tcp", 22, Check::Nothing),
            ("b.example:443/tcp", 443, Check::Nothing),
        ] {
            let policy = Policy { allow: vec![rule.parse().unwrap()], ..Policy::default() };
            let to = Destination::Name(rule.split(':').next().unwrap().parse().unwrap());
            let grant = secrets.guard(policy.connect(&to, port).unwrap(), &to, port);
            assert_eq!(grant.check, check, "{rule} {port}");
            let inspected = secrets.inspected(&policy).count();
            assert_eq!(
                inspected == 1,
                matches!((rule, port), ("a.example", _) | (_, 443 | 8443)) && rule.starts_with('a'),
                "{rule}"
            );
        }
        assert!(secrets.at(&"a.example".parse().unwrap(), 443).is_some(), "its other port is guarded");
        assert!(secrets.at(&"b.example".parse().unwrap(), 443).is_none());
    }
}
