//! The network settings for apt as root: sudo drops the user's environment, and apt reads no authorities from it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rave_process::Cmd;
use rave_process::network::NetworkEnvironment;
use tempfile::TempDir;

use crate::error::Error;

/// A folder that apt's own user can read; one of TMPDIR may be closed to it.
const SHARED: &str = "/var/tmp";

/// Arguments for apt-get and env(1), and the files that they refer to.
#[derive(Default)]
pub(crate) struct AptNetwork {
    /// Arguments before apt-get's command.
    pub(crate) arguments: Vec<String>,
    /// Variables before the program: `NAME=value`.
    pub(crate) variables: Vec<String>,
    /// Removed when the value is dropped.
    _folder: Option<TempDir>,
}

impl AptNetwork {
    /// The settings in this process's environment.
    pub(crate) fn of_this_process() -> Result<Self, Error> {
        let dumped = Cmd::new("apt-config").args(["dump", "Acquire"]).output();
        let dumped = dumped.map(|output| output.text()).unwrap_or_default();
        Self::of(&NetworkEnvironment::of_this_process(), &dumped)
    }

    /// `configured` are apt's own settings, which take precedence.
    fn of(network: &NetworkEnvironment, configured: &str) -> Result<Self, Error> {
        let written =
            |source| Error::Network { detail: format!("settings for apt cannot be written: {source}") };
        let shared = Path::new(SHARED);
        let folder =
            if shared.is_dir() { TempDir::new_in(shared) } else { TempDir::new() }.map_err(written)?;
        let path = folder.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(written)?;
        let authorities =
            network.write_authorities(path).map_err(|error| Error::Network { detail: error.to_string() })?;
        let settings = network.apt_settings(configured, authorities.as_deref());
        let variables = network.no_proxy().map(|hosts| format!("no_proxy={hosts}")).into_iter().collect();
        if settings.is_empty() {
            return Ok(Self { variables, ..Self::default() });
        }
        // Proxies may have passwords, which must not be arguments: everyone can see those.
        let file = path.join("apt.conf");
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&file)
            .and_then(|mut file| file.write_all(settings.as_bytes()))
            .map_err(written)?;
        let arguments = vec!["-c".to_owned(), file.display().to_string()];
        Ok(Self { arguments, variables, _folder: Some(folder) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(variables: &'static [(&'static str, &'static str)]) -> NetworkEnvironment {
        NetworkEnvironment::of(|name| {
            variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_proxy_password_is_in_a_private_file() {
        let network = network(&[
            ("https_proxy", "http://me:hunter2@proxy:3128"),
            ("no_proxy", "localhost,.corp"),
            ("SSL_CERT_FILE", "/etc/hostname"),
        ]);
        let given = AptNetwork::of(&network, "").unwrap();
        assert_eq!(given.variables, ["no_proxy=localhost,.corp"]);
        assert!(!given.arguments.join(" ").contains("hunter2"));
        let file = Path::new(&given.arguments[1]);
        let text = fs::read_to_string(file).unwrap();
        assert!(text.contains("Acquire::https::Proxy \"http://me:hunter2@proxy:3128\";\n"), "{text}");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let authorities = file.with_file_name("authorities.pem");
        assert!(text.contains(authorities.to_str().unwrap()), "{text}");
        assert_eq!((mode(file), mode(&authorities), mode(file.parent().unwrap())), (0o600, 0o644, 0o755));
        // apt itself accepts it.
        let dumped = Cmd::new("apt-config").args(given.arguments.clone()).args(["dump", "Acquire::https"]);
        let dumped = dumped.output().unwrap().text();
        assert!(dumped.contains("me:hunter2@proxy:3128") && dumped.contains("authorities.pem"), "{dumped}");
        let file = file.to_owned();
        drop(given);
        assert!(!file.exists());
    }

    #[test]
    fn no_settings_are_passed_without_variables_and_a_missing_file_is_named() {
        let given = AptNetwork::of(&network(&[]), "").unwrap();
        assert!(given.arguments.is_empty() && given.variables.is_empty());
        let error = AptNetwork::of(&network(&[("SSL_CERT_FILE", "/nowhere.pem")]), "").err().unwrap();
        assert!(error.to_string().contains("SSL_CERT_FILE: /nowhere.pem: No such file"), "{error}");
    }
}
