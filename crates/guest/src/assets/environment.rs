//! The variables of `rave.toml`, written for each way of starting a program in the guest.
//!
//! | program | reads |
//! | --- | --- |
//! | login shells | `/etc/profile.d/rave.sh`, which `/etc/profile` reads |
//! | RAVE's services | `/etc/rave/environment` (`EnvironmentFile=`) |
//! | `ssh HOST COMMAND` | `SetEnv` in sshd's settings |
//! | the desktop | `/etc/X11/Xsession.d/40rave`, which reads the first |
//! | the user's own units | `/etc/environment.d/90-rave.conf` |

use super::{GuestFile, certificates, playwright};
use crate::config::GuestConfig;
use crate::features::{DESKTOP, PLAYWRIGHT};
use std::fmt::Write as _;

/// Gives programs that are started over SSH the desktop's screen, unless X is forwarded.
const SCREEN: &str = "\
if [ -z \"$DISPLAY\" ] && [ -r \"/run/lightdm/$USER/xauthority\" ]; then
    export DISPLAY=:0 XAUTHORITY=\"/run/lightdm/$USER/xauthority\"
fi
";

/// Shows the warnings of `rave-guest setup` at a terminal.
const WARNINGS: &str = "\
case $- in *i*) [ ! -r /run/rave/warnings ] || cat /run/rave/warnings ;; esac
";

/// The script with which bash shows what the network refused.
const DENIED: &str = "/etc/rave/denied.bash";

/// Only for interactive bash, which has a hook before its prompt.
const DENIALS: &str = "\
case $- in *i*) [ -z \"${BASH_VERSION-}\" ] || [ ! -r /etc/rave/denied.bash ] || . /etc/rave/denied.bash ;; esac
";

pub(super) fn files(config: &GuestConfig) -> Vec<GuestFile> {
    let mut profile = String::from(
        "# RAVE: for login shells. Made from rave.toml.\n\
         case \":$PATH:\" in *\":$HOME/.local/bin:\"*) ;; *) PATH=\"$HOME/.local/bin:$PATH\" ;; esac\nexport PATH\n",
    );
    profile.push_str(WARNINGS);
    profile.push_str(DENIALS);
    let mut services = String::from("# RAVE: for its services. Made from rave.toml.\n");
    let mut user_units = String::from("# RAVE: for the user's own units. Made from rave.toml.\n");
    if config.has(DESKTOP) {
        profile.push_str(SCREEN);
    }
    for (name, value) in variables(config) {
        let _ = writeln!(profile, "export {name}={}", shell_quoted(&value));
        let _ = writeln!(services, "{name}={}", unit_quoted(&value));
        let _ = writeln!(user_units, "{name}={}", unit_quoted(&value).replace('$', "\\$"));
    }
    vec![
        GuestFile::file("/etc/profile", 0o644, include_str!("../../assets/profile.sh")),
        GuestFile::file("/etc/profile.d/rave.sh", 0o644, profile),
        GuestFile::file(DENIED, 0o644, include_str!("../../assets/denied.bash")),
        GuestFile::file("/etc/rave/environment", 0o644, services),
        GuestFile::file("/etc/environment.d/90-rave.conf", 0o644, user_units),
    ]
}

/// RAVE's own variables, then the user's, which take precedence.
fn variables(config: &GuestConfig) -> Vec<(String, String)> {
    // The tools are pinned, but Claude Code would update itself in the background.
    let mut own = vec![("DISABLE_AUTOUPDATER", "1".to_owned())];
    if config.has(PLAYWRIGHT) {
        own.extend(playwright::variables(&config.tools));
    }
    if !config.certificates.is_empty() {
        own.extend(certificates::variables());
    }
    let replaced = |name: &str| config.environment.iter().any(|(other, _)| other == name);
    let own = own.into_iter().filter(|(name, _)| !replaced(name));
    own.map(|(name, value)| (name.to_owned(), value)).chain(config.environment.iter().cloned()).collect()
}

/// The line for `sshd_config`. sshd only uses the first `SetEnv`.
pub(super) fn sshd_set_env(config: &GuestConfig) -> String {
    let quoted = |(name, value): &(String, String)| format!("\"{name}={}\"", escaped(value));
    let all: Vec<String> = variables(config).iter().map(quoted).collect();
    format!("SetEnv {}", all.join(" "))
}

/// Quotes for a POSIX shell: between single quotes, only the quote itself is special.
fn shell_quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// Quotes for `EnvironmentFile=`, systemd.exec(5): between double quotes, a backslash escapes.
fn unit_quoted(value: &str) -> String {
    format!("\"{}\"", escaped(value).replace('`', "\\`"))
}

fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"")
}
