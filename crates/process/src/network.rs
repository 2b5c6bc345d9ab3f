//! What the user's environment says of the network, for programs that do not read it all. Each reads proxies itself; of
//! authorities, Node.js reads `NODE_EXTRA_CA_CERTS` alone, cargo and nix `SSL_CERT_FILE`, and apt(8) neither.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Cmd;

/// Where systems keep the authorities that they trust, in one file: Debian, Fedora, SUSE.
const STORES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];

/// What to do where a server's certificate is not trusted.
pub const UNTRUSTED_REMEDY: &str = "the server's certificate is of an authority that this host does not trust; if it is that of your \
     network's proxy, set SSL_CERT_FILE to a PEM file with it and with the public authorities, then run the same command again";

/// How programs say that they do not trust a server's certificate: apt, Node.js, and curl in cargo, git and nix.
const UNTRUSTED: [&str; 8] = [
    "The certificate is NOT trusted",
    "certificate verify failed",
    "SELF_SIGNED_CERT_IN_CHAIN",
    "DEPTH_ZERO_SELF_SIGNED_CERT",
    "UNABLE_TO_GET_ISSUER_CERT",
    "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    "SSL peer certificate or SSH remote key was not OK",
    "SSL certificate problem",
];

/// Whether a program that printed these lines did not trust a server's certificate.
pub fn is_untrusted(printed: &[String]) -> bool {
    printed.iter().any(|line| UNTRUSTED.iter().any(|sign| line.contains(sign)))
}

/// The variables of a user's environment that say how the network is reached.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct NetworkEnvironment {
    /// URLs, which may hold passwords, by the scheme that they are for.
    proxies: Vec<(&'static str, String)>,
    no_proxy: Option<String>,
    /// `SSL_CERT_FILE`: the authorities to trust in place of the system's.
    authorities: Option<PathBuf>,
    /// `NODE_EXTRA_CA_CERTS`: those to trust besides the system's.
    more: Option<PathBuf>,
}

impl NetworkEnvironment {
    /// This process's own.
    pub fn of_this_process() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }

    /// What the variables say; an empty one says nothing.
    pub fn of(get: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        let either = |name: &str| get(name).or_else(|| get(&name.to_uppercase()));
        let proxy = |scheme, name: &str| either(name).map(|url| (scheme, url));
        Self {
            proxies: [proxy("http", "http_proxy"), proxy("https", "https_proxy")]
                .into_iter()
                .flatten()
                .collect(),
            no_proxy: either("no_proxy"),
            authorities: get("SSL_CERT_FILE").map(PathBuf::from),
            more: get("NODE_EXTRA_CA_CERTS").map(PathBuf::from),
        }
    }

    /// Hosts that are reached without a proxy, as the variable `no_proxy` lists them.
    pub fn no_proxy(&self) -> Option<&str> {
        self.no_proxy.as_deref()
    }

    /// A command that runs Node.js, with the authorities of `SSL_CERT_FILE` where it has no further ones of its own.
    #[must_use]
    pub fn for_node(&self, command: Cmd) -> Cmd {
        match (&self.authorities, &self.more) {
            (Some(file), None) => command.env("NODE_EXTRA_CA_CERTS", file),
            _ => command,
        }
    }

    /// A command of what reads `SSL_CERT_FILE`, such as cargo, with it where there are further authorities alone; `file` is what
    /// [`NetworkEnvironment::write_authorities`] wrote.
    #[must_use]
    pub fn for_openssl(&self, command: Cmd, file: Option<&Path>) -> Cmd {
        match (&self.authorities, file) {
            (None, Some(file)) => command.env("SSL_CERT_FILE", file),
            _ => command,
        }
    }

    /// The line of apt.conf(5) that names the file of authorities, unless `configured`, the output of apt-config(8), names one.
    /// Everyone must be able to read the file: apt does so as a user of its own.
    pub fn apt_authorities(configured: &str, file: Option<&Path>) -> String {
        file.and_then(Path::to_str)
            .and_then(|file| setting(configured, "Acquire::https::CAInfo", file))
            .unwrap_or_default()
    }

    /// Lines of apt.conf(5) for an apt that does not see this environment: the proxies, too, that `configured` lacks. They may
    /// hold passwords.
    pub fn apt_settings(&self, configured: &str, authorities: Option<&Path>) -> String {
        let proxy =
            |(scheme, url): &(&str, String)| setting(configured, &format!("Acquire::{scheme}::Proxy"), url);
        let proxies: String = self.proxies.iter().filter_map(proxy).collect();
        proxies + &Self::apt_authorities(configured, authorities)
    }

    /// Writes all authorities to trust into one file of a folder, readable by everyone; `None` where the environment names none.
    pub fn write_authorities(&self, folder: &Path) -> Result<Option<PathBuf>, AuthoritiesError> {
        use std::os::unix::fs::PermissionsExt as _;
        let read = |variable, path: &Path| {
            fs::read(path).map_err(|source| AuthoritiesError { variable, path: path.to_owned(), source })
        };
        let text = match (&self.authorities, &self.more) {
            (Some(file), _) => read("SSL_CERT_FILE", file)?,
            (None, Some(file)) => {
                let more = read("NODE_EXTRA_CA_CERTS", file)?;
                let system = STORES.iter().find_map(|store| fs::read(store).ok()).unwrap_or_default();
                [system, more].join(&b'\n')
            }
            (None, None) => return Ok(None),
        };
        let path = folder.join("authorities.pem");
        let at = |source| AuthoritiesError { variable: "a copy", path: path.clone(), source };
        fs::write(&path, text).map_err(at)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).map_err(at)?;
        Ok(Some(path))
    }
}

/// A line of apt.conf(5), unless the key has a value already.
fn setting(configured: &str, key: &str, value: &str) -> Option<String> {
    let says = |line: &str| {
        let name = line.split(' ').next().unwrap_or_default();
        name.eq_ignore_ascii_case(key) && !line.ends_with(" \"\";")
    };
    // apt.conf(5) has no escape for what ends a value.
    let fits = !value.contains(['"', '\n']);
    (fits && !configured.lines().any(says)).then(|| format!("{key} \"{value}\";\n"))
}

/// A file of authorities that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{variable}: {}: {source}", path.display())]
pub struct AuthoritiesError {
    /// The variable that names it.
    pub variable: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The system's answer.
    #[source]
    pub source: io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(variables: &[(&str, &str)]) -> NetworkEnvironment {
        NetworkEnvironment::of(|name| {
            variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn shown(command: &Cmd) -> String {
        command.to_string()
    }

    #[test]
    fn each_program_gets_the_authorities_that_it_does_not_read() {
        let command = || Cmd::new("x");
        let own = network(&[("SSL_CERT_FILE", "/ca.pem")]);
        assert_eq!(shown(&own.for_node(command())), "NODE_EXTRA_CA_CERTS=/ca.pem x");
        assert_eq!(shown(&own.for_openssl(command(), Some("/all.pem".as_ref()))), "x");
        let more = network(&[("NODE_EXTRA_CA_CERTS", "/ca.pem")]);
        assert_eq!(shown(&more.for_node(command())), "x");
        assert_eq!(
            shown(&more.for_openssl(command(), Some("/all.pem".as_ref()))),
            "SSL_CERT_FILE=/all.pem x"
        );
        let none = network(&[("SSL_CERT_FILE", "")]);
        assert_eq!(shown(&none.for_openssl(none.for_node(command()), None)), "x");
    }

    #[test]
    fn apt_is_told_what_its_own_settings_do_not_say() {
        let network = network(&[("http_proxy", "http://p:1"), ("HTTPS_PROXY", "http://me:pw@p:2")]);
        let all = "Acquire::http::Proxy \"http://p:1\";\nAcquire::https::Proxy \"http://me:pw@p:2\";\n\
                   Acquire::https::CAInfo \"/ca.pem\";\n";
        let file = Some("/ca.pem".as_ref());
        assert_eq!(network.apt_settings("Acquire::http \"\";\nAcquire::https::CAInfo \"\";\n", file), all);
        let configured =
            "Acquire::HTTP::Proxy \"http://cache:3142\";\nAcquire::https::CAInfo \"/corp.pem\";\n";
        assert_eq!(network.apt_settings(configured, file), "Acquire::https::Proxy \"http://me:pw@p:2\";\n");
        let breaks = super::tests::network(&[("http_proxy", "http://p\";x")]);
        assert_eq!(breaks.apt_settings("", None), "");
    }

    #[test]
    fn one_file_has_all_authorities_and_a_missing_one_is_named_with_its_variable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        fs::write(&path, "corp").unwrap();
        let path = path.to_str().unwrap();
        let written = |variable| {
            let file = network(&[(variable, path)]).write_authorities(folder.path()).unwrap().unwrap();
            String::from_utf8(fs::read(file).unwrap()).unwrap()
        };
        assert_eq!(written("SSL_CERT_FILE"), "corp");
        assert!(written("NODE_EXTRA_CA_CERTS").ends_with("\ncorp"));
        assert_eq!(network(&[]).write_authorities(folder.path()).unwrap(), None);
        let missing = network(&[("SSL_CERT_FILE", "/nowhere")]).write_authorities(folder.path());
        assert!(missing.unwrap_err().to_string().starts_with("SSL_CERT_FILE: /nowhere: No such file"));
    }
}
