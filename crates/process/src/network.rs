//! The network settings in the user's environment, for programs that do not read all of them. Each program reads proxy
//! settings itself; of the authorities, Node.js only reads `NODE_EXTRA_CA_CERTS`, cargo and nix read `SSL_CERT_FILE`,
//! and apt(8) reads neither.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Cmd;

/// Where systems store their trusted authorities in one file: Debian, Fedora, SUSE.
const STORES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];

/// The remedy if a server's certificate is not trusted.
pub const UNTRUSTED_REMEDY: &str = "the server's certificate was issued by an authority that this host does not trust; if that is your \
     network's proxy, set SSL_CERT_FILE to a PEM file with its authority and the public ones, then run the same command again";

/// Messages of programs that do not trust a server's certificate: apt, Node.js, and curl in cargo, git and nix.
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

/// The network variables of a user's environment.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct NetworkEnvironment {
    /// URLs, which may contain passwords, by the scheme they are for.
    proxies: Vec<(&'static str, String)>,
    no_proxy: Option<String>,
    /// `SSL_CERT_FILE`: the authorities to trust instead of the system's.
    authorities: Option<PathBuf>,
    /// `NODE_EXTRA_CA_CERTS`: the authorities to trust in addition to the system's.
    more: Option<PathBuf>,
}

impl NetworkEnvironment {
    /// The variables of this process.
    pub fn of_this_process() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }

    /// Reads the variables; an empty variable counts as unset.
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

    /// Hosts that are reached without a proxy, in the format of the variable `no_proxy`.
    pub fn no_proxy(&self) -> Option<&str> {
        self.no_proxy.as_deref()
    }

    /// A command that runs Node.js, with the authorities of `SSL_CERT_FILE` unless it has additional ones of its own.
    #[must_use]
    pub fn for_node(&self, command: Cmd) -> Cmd {
        match (&self.authorities, &self.more) {
            (Some(file), None) => command.env("NODE_EXTRA_CA_CERTS", file),
            _ => command,
        }
    }

    /// A command that reads `SSL_CERT_FILE`, such as cargo, with that variable set if the environment only has
    /// additional authorities; `file` is the result of [`NetworkEnvironment::write_authorities`].
    #[must_use]
    pub fn for_openssl(&self, command: Cmd, file: Option<&Path>) -> Cmd {
        match (&self.authorities, file) {
            (None, Some(file)) => command.env("SSL_CERT_FILE", file),
            _ => command,
        }
    }

    /// The line of apt.conf(5) that sets the file of authorities, unless `configured`, the output of apt-config(8),
    /// sets one. The file must be readable by everyone, because apt reads it as a user of its own.
    pub fn apt_authorities(configured: &str, file: Option<&Path>) -> String {
        file.and_then(Path::to_str)
            .and_then(|file| setting(configured, "Acquire::https::CAInfo", file))
            .unwrap_or_default()
    }

    /// Lines of apt.conf(5) for an apt that does not see this environment: also the proxies that `configured` lacks.
    /// They may contain passwords.
    pub fn apt_settings(&self, configured: &str, authorities: Option<&Path>) -> String {
        let proxy =
            |(scheme, url): &(&str, String)| setting(configured, &format!("Acquire::{scheme}::Proxy"), url);
        let proxies: String = self.proxies.iter().filter_map(proxy).collect();
        proxies + &Self::apt_authorities(configured, authorities)
    }

    /// Writes all trusted authorities to one file in a folder, readable by everyone; `None` if the environment sets
    /// none.
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

/// A line of apt.conf(5), unless the key already has a value.
fn setting(configured: &str, key: &str, value: &str) -> Option<String> {
    let sets_key = |line: &str| {
        let name = line.split(' ').next().unwrap_or_default();
        name.eq_ignore_ascii_case(key) && !line.ends_with(" \"\";")
    };
    // apt.conf(5) has no escape for the characters that end a value.
    let fits = !value.contains(['"', '\n']);
    (fits && !configured.lines().any(sets_key)).then(|| format!("{key} \"{value}\";\n"))
}

/// A file of authorities that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{variable}: {}: {source}", path.display())]
pub struct AuthoritiesError {
    /// The variable that names it.
    pub variable: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The system's error.
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
    fn each_program_gets_authorities_through_its_own_variables() {
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
    fn apt_gets_only_settings_that_its_own_lack() {
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
    fn all_authorities_are_in_one_file_and_a_missing_one_is_named() {
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
