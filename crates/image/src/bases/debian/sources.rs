//! apt's sources.list and settings for the downloads of a build.

use std::path::Path;

use camino::Utf8Path;
use rave_process::Cmd;
use rave_process::network::NetworkEnvironment;
use rave_spec::{Mirror, Spec};

use super::mode::MmdebstrapMode;
use crate::error::{Error, StageContext as _};
use crate::stage_runner::StageRunner;

/// The mirrors of `rave.toml`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mirrors<'a> {
    main: Option<&'a Mirror>,
    security: Option<&'a Mirror>,
}

impl<'a> Mirrors<'a> {
    pub(crate) fn of(spec: &'a Spec) -> Self {
        Self { main: spec.debian.mirror.as_ref(), security: spec.debian.security_mirror.as_ref() }
    }

    /// A line `deb URI SUITE COMPONENT...` of sources.list(5) with the mirror in place of the URI.
    fn line(self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_security = words.get(2).is_some_and(|suite| suite.ends_with("-security"));
        match (if is_security { self.security } else { self.main }, words.as_slice()) {
            (Some(mirror), [kind, _, rest @ ..]) => format!("{kind} {mirror} {}", rest.join(" ")),
            _ => line.to_owned(),
        }
    }
}

/// The `sources.list` that mmdebstrap writes without a mirror, with the mirrors in place. Needs no network.
pub(super) fn sources(
    stages: &StageRunner<'_>,
    stage: &'static str,
    suite: &str,
    mirrors: Mirrors<'_>,
) -> Result<String, Error> {
    let argv = MmdebstrapMode::of_this_process().sources_argv(suite);
    let mut sources = String::new();
    Cmd::new(&argv[0])
        .args(&argv[1..])
        .log_file(stages.log(stage))
        .run(&mut |line| {
            if line.text.starts_with("deb ") {
                sources.push_str(&mirrors.line(line.text));
                sources.push('\n');
            }
        })
        .stage(stage)?;
    Ok(sources)
}

/// A line of sources.list(5) for a repository in a folder. apt decodes percent-encoding in the path of a `copy:` URI
/// (RFC 3986, section 2.1), and a space would end it.
pub(super) fn of_folder(folder: &Utf8Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let encoded = folder.as_str().bytes().map(|byte| match byte {
        byte if plain(byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    format!("deb [trusted=yes] copy:{} ./", encoded.collect::<String>())
}

/// An apt.conf(5) for a separate root, with the host's network settings.
pub(super) fn configuration(root: &Utf8Path, network: &str) -> String {
    format!(
        "Apt::Architecture \"amd64\";\nApt::Architectures \"amd64\";\nDir \"{root}\";\n\
         Dir::State::Status \"{root}/var/lib/dpkg/status\";\nDir::Etc::Trusted \"/etc/apt/trusted.gpg\";\n\
         Dir::Etc::TrustedParts \"/etc/apt/trusted.gpg.d\";\nDir::Etc::netrc \"/etc/apt/auth.conf\";\n\
         Dir::Etc::netrcparts \"/etc/apt/auth.conf.d\";\npkgCacheGen::ForceEssential \",\";\n\
         {network}Acquire::Languages \"none\";\n"
    )
}

/// The host's settings about downloads, in the format that apt-config(8) prints and reads.
pub(super) fn host_settings(stages: &StageRunner<'_>, stage: &'static str) -> Result<String, Error> {
    let dumped = Cmd::new("apt-config").args(["dump", "Acquire"]).log_file(stages.log(stage));
    Ok(dumped.output().stage(stage)?.text())
}

/// The host's settings that affect how archives are reached (proxies, certificates, time limits), and the certificate
/// authorities from the environment, which apt does not read. apt reads the proxies from the environment itself; their
/// passwords do not belong in this file.
pub(super) fn of_network(dumped: &str, authorities: Option<&Path>) -> String {
    const KEPT: [&str; 5] =
        ["Acquire::http", "Acquire::https", "Acquire::Retries", "Acquire::ForceIPv4", "Acquire::ForceIPv6"];
    let is_kept = |line: &&str| {
        let key = line.split([' ', ';']).next().unwrap_or_default();
        KEPT.iter().any(|kept| {
            let rest = key.get(..kept.len()).filter(|start| start.eq_ignore_ascii_case(kept));
            rest.is_some() && (key.len() == kept.len() || key[kept.len()..].starts_with(':'))
        })
    };
    let kept: String = dumped.lines().filter(is_kept).flat_map(|line| [line, "\n"]).collect();
    kept + &NetworkEnvironment::apt_authorities(dumped, authorities)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_replaces_only_its_archive() {
        let (main, security) = ("http://m/debian".parse().unwrap(), "http://m/security".parse().unwrap());
        let both = Mirrors { main: Some(&main), security: Some(&security) };
        assert_eq!(both.line("deb http://a/debian trixie main"), "deb http://m/debian trixie main");
        assert_eq!(
            both.line("deb http://a/x trixie-security main x"),
            "deb http://m/security trixie-security main x"
        );
        let one = Mirrors { main: Some(&main), security: None };
        assert_eq!(one.line("deb http://a/x trixie-security main"), "deb http://a/x trixie-security main");
        assert_eq!(one.line("deb http://a/x trixie-updates main"), "deb http://m/debian trixie-updates main");
    }

    #[test]
    fn folder_names_are_quoted_as_one_word() {
        assert_eq!(of_folder("/a b/ä[1]%".into()), "deb [trusted=yes] copy:/a%20b/%C3%A4%5B1%5D%25 ./");
    }

    #[test]
    fn only_network_settings_of_the_host_apply() {
        let dumped = "Acquire \"\";\nAcquire::http \"\";\nAcquire::http::Proxy \"http://cache:3142\";\n\
                      Acquire::HTTP::Proxy::host \"DIRECT\";\nAcquire::https::CAInfo \"/ca.pem\";\n\
                      Acquire::httpx::a \"\";\nAcquire::Languages:: \"de\";\nAcquire::Retries \"9\";\n";
        assert_eq!(
            of_network(dumped, Some("/not-this.pem".as_ref())),
            "Acquire::http \"\";\nAcquire::http::Proxy \"http://cache:3142\";\nAcquire::HTTP::Proxy::host \"DIRECT\";\n\
             Acquire::https::CAInfo \"/ca.pem\";\nAcquire::Retries \"9\";\n"
        );
    }
}
