//! `rave-guest provide`, and the same request of the channel: an authority that the guest trusts in addition to its
//! own, and variables for all programs. Those of the image stay unchanged.

use crate::error::Error;
use crate::files::{self, below, failed, parents};
use crate::git_credential;
use crate::host_name;
use rave_guest::assets::{CERTIFICATE_STORE, CERTIFICATES};
use rave_guest::channel::provision::{CREDENTIAL, Provision};
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// A copy of the image's store.
const OWN_STORE: &str = "/var/lib/rave/ca-certificates.crt";
/// The folder for Debian's update-ca-certificates(8), which would otherwise rebuild the store without the authority.
const FURTHER: &str = "/usr/local/share/ca-certificates";
const FURTHER_NAME: &str = "rave-sandbox.crt";
/// The image's additional authorities and the host's, for Node.js.
const BUNDLE: &str = "/etc/rave/sandbox-certificates.pem";
/// Chromium's policies: the list of a later file replaces that of an earlier one.
const POLICIES: &str = "/etc/chromium/policies/managed";
const OWN_POLICY: &str = "rave-certificates.json";
const POLICY: &str = "rave-sandbox.json";
/// For RAVE's services.
const SERVICES: &str = "/run/rave/environment";
/// For login shells, and for the user's own units.
const PROFILE: &str = "/etc/profile.d/rave-sandbox.sh";
const USER_UNITS: &str = "/etc/environment.d/91-rave-sandbox.conf";
/// For `ssh HOST COMMAND`, by `pam_env(8)`. Its other lines are not ours.
const PAM: &str = "/etc/environment";
const BEGIN: &str = "# RAVE: from the host";
const END: &str = "# RAVE: end";

/// Installs what the host passed as a system credential.
pub(crate) fn run() -> Result<(), Error> {
    let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY") else { return Ok(()) };
    let path = Path::new(&folder).join(CREDENTIAL);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("read", path)(error)),
    };
    let provision: Provision =
        serde_json::from_str(&text).map_err(|error| failed("understand", &path)(error.into()))?;
    if let Some(name) = &provision.host_name {
        host_name::take(Path::new("/"), name)?;
    }
    // The host sends it later if it is too long for a credential; what was provided before is kept until then.
    if !provision.is_empty() {
        install(Path::new("/"), &provision)?;
    }
    println!("the host provides {provision:?}");
    Ok(())
}

/// Called by the channel.
pub(crate) fn for_the_channel(provision: &Provision) -> Result<(), String> {
    install(Path::new("/"), provision).map_err(|error| error.to_string())
}

/// Installs it in the system below a folder. Anything that was provided before but is no longer is removed.
pub(crate) fn install(root: &Path, provision: &Provision) -> Result<(), Error> {
    let is_known = below(root, OWN_STORE).exists() || below(root, PROFILE).exists();
    if provision.is_empty() && !is_known {
        return Ok(());
    }
    trust(root, provision.authority.as_deref())?;
    let logins = below(root, git_credential::LOGINS);
    parents(&logins)?;
    git_credential::install(&logins, &provision.git)?;
    set(root, &variables(provision))
}

fn trust(root: &Path, authority: Option<&str>) -> Result<(), Error> {
    let authority = authority.unwrap_or_default();
    let store = below(root, CERTIFICATE_STORE);
    let own = below(root, OWN_STORE);
    if !own.exists() {
        parents(&own)?;
        // A minimal image may have no store.
        write(&own, fs::read_to_string(&store).unwrap_or_default())?;
    }
    parents(&store)?;
    write(&store, joined(&files::read(&own)?, authority))?;
    let bundle = fs::read_to_string(below(root, CERTIFICATES)).unwrap_or_default();
    parents(&below(root, BUNDLE))?;
    write(&below(root, BUNDLE), joined(&bundle, authority))?;
    for (folder, name, content) in
        [(FURTHER, FURTHER_NAME, authority.to_owned()), (POLICIES, POLICY, policy(root, authority))]
    {
        let folder = below(root, folder);
        if folder.is_dir() {
            write_or_remove(&folder.join(name), (!authority.is_empty()).then_some(content))?;
        }
    }
    Ok(())
}

/// The image's authorities and the host's, in Chromium's format.
fn policy(root: &Path, authority: &str) -> String {
    let own = fs::read_to_string(below(root, POLICIES).join(OWN_POLICY)).unwrap_or_default();
    let own: serde_json::Value = serde_json::from_str(&own).unwrap_or_default();
    let mut all = own["CACertificates"].as_array().cloned().unwrap_or_default();
    let base64: String = authority.lines().filter(|line| !line.starts_with('-')).map(str::trim).collect();
    all.push(base64.into());
    format!("{}\n", serde_json::json!({ "CACertificates": all }))
}

fn joined(own: &str, authority: &str) -> String {
    let gap = if own.is_empty() || own.ends_with('\n') { "" } else { "\n" };
    format!("{own}{gap}{authority}")
}

/// The host's variables, and those with which programs find the authorities.
fn variables(provision: &Provision) -> Vec<(String, String)> {
    let trust = [
        ("NODE_EXTRA_CA_CERTS", BUNDLE),
        ("SSL_CERT_FILE", CERTIFICATE_STORE),
        ("REQUESTS_CA_BUNDLE", CERTIFICATE_STORE),
    ];
    let trust = trust.iter().filter(|_| provision.authority.is_some());
    let mut all: Vec<(String, String)> =
        trust.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let is_plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let given = provision.environment.iter();
    all.extend(
        given.filter(|(name, value)| is_plain(name) && !value.contains(|c: char| c.is_control())).cloned(),
    );
    all
}

fn set(root: &Path, variables: &[(String, String)]) -> Result<(), Error> {
    let (mut shell, mut units, mut pam) = (String::new(), String::new(), String::new());
    for (name, value) in variables {
        let quoted = value.replace('\\', r"\\").replace('"', "\\\"");
        let _ = writeln!(shell, "export {name}='{}'", value.replace('\'', r"'\''"));
        let _ = writeln!(units, "{name}=\"{quoted}\"");
        let _ = writeln!(pam, "{name}={value}");
    }
    for (path, content) in [(SERVICES, &units), (PROFILE, &shell), (USER_UNITS, &units)] {
        let path = below(root, path);
        parents(&path)?;
        write_or_remove(&path, (!variables.is_empty()).then_some(content))?;
    }
    let path = below(root, PAM);
    if path.is_symlink() {
        return Ok(()); // the base creates it itself
    }
    let text = fs::read_to_string(&path).unwrap_or_default();
    let rest = match (text.find(BEGIN), text.find(END)) {
        (Some(begin), Some(end)) if begin < end => {
            format!("{}{}", &text[..begin], text[end + END.len()..].trim_start_matches('\n'))
        }
        _ => text.clone(),
    };
    let ours = if pam.is_empty() { String::new() } else { format!("{BEGIN}\n{pam}{END}\n") };
    let wanted = format!("{}{ours}", joined(&rest, ""));
    if wanted == text { Ok(()) } else { write(&path, wanted) }
}

/// A variable from the host, for a program that runs without them.
pub(crate) fn variable(name: &str) -> Option<String> {
    let text = fs::read_to_string(SERVICES).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim_matches('"').to_owned())
}

/// Not synced: a clone syncs all files at the end, and a boot writes them again.
fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<(), Error> {
    files::write_unsynced(path, 0o644, content)
}

fn write_or_remove(path: &Path, content: Option<impl AsRef<[u8]>>) -> Result<(), Error> {
    match content {
        Some(content) => write(path, content),
        None => match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", path)(error)),
            _ => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(root: &Path, path: &str) -> String {
        fs::read_to_string(below(root, path)).unwrap()
    }

    fn provision(authority: &str, value: &str) -> Provision {
        Provision {
            authority: Some(authority.into()),
            environment: vec![("TOKEN".into(), value.into())],
            ..Provision::default()
        }
    }

    #[test]
    fn image_authorities_are_kept_and_the_hosts_is_replaced() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        for (path, text) in
            [(CERTIFICATE_STORE, "public\n"), (CERTIFICATES, "corporate\n"), (PAM, "LANG=C\n")]
        {
            parents(&below(root, path)).unwrap();
            fs::write(below(root, path), text).unwrap();
        }
        fs::create_dir_all(below(root, POLICIES)).unwrap();
        fs::write(below(root, POLICIES).join(OWN_POLICY), r#"{"CACertificates":["AA=="]}"#).unwrap();
        install(root, &provision("-----BEGIN\nQg==\n-----END\n", "it's")).unwrap();
        install(root, &provision("-----BEGIN\nQw==\n-----END\n", "it's \"2\"")).unwrap();
        assert_eq!(read(root, CERTIFICATE_STORE), "public\n-----BEGIN\nQw==\n-----END\n");
        assert_eq!(read(root, BUNDLE), "corporate\n-----BEGIN\nQw==\n-----END\n");
        assert_eq!(
            fs::read_to_string(below(root, POLICIES).join(POLICY)).unwrap(),
            "{\"CACertificates\":[\"AA==\",\"Qw==\"]}\n"
        );
        assert!(read(root, PROFILE).contains(r#"export TOKEN='it'\''s "2"'"#));
        assert!(read(root, SERVICES).contains(r#"TOKEN="it's \"2\"""#));
        assert!(read(root, SERVICES).contains("NODE_EXTRA_CA_CERTS=\"/etc/rave/sandbox-certificates.pem\""));
        let pam = read(root, PAM);
        assert!(pam.starts_with("LANG=C\n# RAVE") && pam.matches("TOKEN=").count() == 1, "{pam}");

        install(root, &Provision::default()).unwrap();
        assert_eq!(
            (read(root, CERTIFICATE_STORE).as_str(), read(root, PAM).as_str()),
            ("public\n", "LANG=C\n")
        );
        assert!(!below(root, PROFILE).exists() && !below(root, POLICIES).join(POLICY).exists());
    }

    #[test]
    fn an_empty_request_changes_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        install(scratch.path(), &Provision::default()).unwrap();
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    }

    #[test]
    fn invalid_variables_are_ignored() {
        let scratch = tempfile::tempdir().unwrap();
        let environment =
            vec![("A;B".into(), "1".into()), ("C".into(), "1\n2".into()), ("D".into(), "3".into())];
        install(scratch.path(), &Provision { environment, ..Provision::default() }).unwrap();
        assert_eq!(read(scratch.path(), PROFILE), "export D='3'\n");
    }
}
