//! Answers that are given in advance: kernel arguments, then the file on a second medium, which takes precedence.

use crate::error::Error;
use crate::files;
use crate::spawn;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// The label of a file system with [`FILE`]; udev starts the installer when it appears.
pub(super) const MEDIUM: &str = "/dev/disk/by-label/RAVE_SETUP";
const FILE: &str = "rave-setup.conf";
/// The timeout of a mount, which loads a driver from the medium: 30 s were too short on an emulated processor of a busy
/// host.
const LIMIT: Duration = Duration::from_secs(120);

/// The answers; with a disk nothing is asked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answers {
    /// `rave.install=`: a device, or `auto` for the only disk of the machine.
    pub(super) disk: Option<String>,
    /// `rave.hostname=`
    pub(super) host_name: Option<String>,
    /// `rave.user=`: the new login name of the image's user.
    pub(super) user: Option<String>,
    /// `rave.password=`, only in the file.
    pub(super) password: Option<String>,
    /// `rave.key=`: a line of `authorized_keys`, sshd(8).
    pub(super) key: Option<String>,
    /// `rave.erase=yes`: a disk with data may be used.
    pub(super) erase: bool,
    /// `rave.erase-disk=`: the same device again, as confirmation.
    pub(super) erase_disk: Option<String>,
    /// `rave.then=`
    pub(super) then: Then,
}

/// What to do after the installation.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// Without this default, an unattended machine that boots from the medium again would find a disk with data.
    #[default]
    PowerOff,
    Reboot,
    Stay,
}

impl Answers {
    /// Reads both sources; a named file replaces the second medium.
    pub(super) fn read(named: Option<&Path>) -> Result<Self, Error> {
        let mut answers = Self::default();
        for word in words(&files::read("/proc/cmdline")?) {
            if let Some((key, value)) = word.strip_prefix("rave.").and_then(|word| word.split_once('=')) {
                if key == "password" {
                    return Err(refused(
                        "a password is among the kernel's arguments, which every user can read",
                        format!(
                            "write rave.password= into the file {FILE} of a medium with the label RAVE_SETUP"
                        ),
                    ));
                }
                answers.set(key, value)?;
            }
        }
        let text = match named {
            Some(path) => Some(files::read(path)?),
            None => file()?,
        };
        if let Some(text) = text {
            answers.add_file(&text)?;
        }
        Ok(answers)
    }

    fn add_file(&mut self, text: &str) -> Result<(), Error> {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (key, value) = line.split_once('=').ok_or_else(|| {
                refused(format!("{FILE}: {line:?} is not an answer"), "write each line as rave.NAME=VALUE")
            })?;
            let (key, value) = (key.trim(), value.trim());
            let name = key.strip_prefix("rave.").unwrap_or(key);
            if !self.set(name, value.trim_matches('"'))? {
                return Err(refused(
                    format!("{FILE}: unknown answer {key}"),
                    "the answers are rave.install, hostname, user, password, key, erase, erase-disk and then",
                ));
            }
        }
        Ok(())
    }

    /// False if there is no such answer.
    fn set(&mut self, key: &str, value: &str) -> Result<bool, Error> {
        let text = Some(value.to_owned()).filter(|value| !value.is_empty());
        match key {
            "install" => self.disk = text,
            "hostname" => self.host_name = text.map(check_host_name).transpose()?,
            "user" => self.user = text.map(check_user_name).transpose()?,
            "password" => self.password = text,
            "key" => self.key = text,
            "erase" => self.erase = value == "yes",
            "erase-disk" => self.erase_disk = text,
            "then" => {
                self.then = match value {
                    "poweroff" => Then::PowerOff,
                    "reboot" => Then::Reboot,
                    "stay" => Then::Stay,
                    other => {
                        return Err(refused(
                            format!("rave.then={other} is not known"),
                            "use poweroff, reboot or stay",
                        ));
                    }
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Checks a host name by hostname(7).
pub(super) fn check_host_name(name: String) -> Result<String, Error> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if !name.is_empty()
        && name.len() <= 63
        && name.chars().all(fits)
        && !name.starts_with('-')
        && !name.ends_with('-')
    {
        Ok(name)
    } else {
        Err(refused(format!("{name:?} is not a host name"), "use up to 63 letters, digits and inner hyphens"))
    }
}

/// Checks a user name by Debian's useradd(8).
pub(super) fn check_user_name(name: String) -> Result<String, Error> {
    let fits = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_');
    if name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(fits) && name.len() <= 32 {
        Ok(name)
    } else {
        Err(refused(
            format!("{name:?} is not a user name"),
            "use a lower-case letter, then letters a-z, digits, - or _, at most 32 characters",
        ))
    }
}

pub(super) fn refused(why: impl Into<String>, remedy: impl Into<String>) -> Error {
    Error::Refused { why: why.into(), remedy: remedy.into() }
}

/// Splits the kernel's arguments at blanks outside of double quotes (kernel-parameters).
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in line.trim_end().chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// The text of the second medium's file, if there is one.
fn file() -> Result<Option<String>, Error> {
    if !Path::new(MEDIUM).exists() {
        return Ok(None);
    }
    let place = "/run/rave/setup";
    fs::create_dir_all(place).map_err(files::failed("make the folder", place))?;
    spawn::output("mount", &["-o", "ro", MEDIUM, place], LIMIT)?;
    let text = files::read(Path::new(place).join(FILE));
    spawn::output("umount", &[place], LIMIT)?;
    text.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Answers, Error> {
        let mut answers = Answers::default();
        answers.add_file(text).map(|()| answers)
    }

    #[test]
    fn a_file_can_answer_every_question() {
        let text = "# mine\nrave.install=/dev/vda\nhostname = box-1\nrave.key=\"ssh-ed25519 AAAA me\"\nrave.user=me\n\
                    rave.password=a=b\nrave.erase=yes\nrave.erase-disk=/dev/vda\nrave.then=reboot\n";
        let expected = Answers {
            disk: Some("/dev/vda".into()),
            host_name: Some("box-1".into()),
            user: Some("me".into()),
            password: Some("a=b".into()),
            key: Some("ssh-ed25519 AAAA me".into()),
            erase: true,
            erase_disk: Some("/dev/vda".into()),
            then: Then::Reboot,
        };
        assert_eq!(file(text).unwrap(), expected);
    }

    #[test]
    fn impossible_answers_are_refused_by_name() {
        for (text, named) in [
            ("rave.disk=/dev/vda", "unknown answer rave.disk"),
            ("just words", "is not an answer"),
            ("user=Me", "\"Me\" is not a user name"),
            ("hostname=a_b", "is not a host name"),
            ("then=dance", "rave.then=dance"),
        ] {
            let error = file(text).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn quoted_kernel_arguments_stay_together() {
        assert_eq!(words("ro rave.key=\"ssh-rsa A b\"  quiet\n"), ["ro", "rave.key=ssh-rsa A b", "quiet"]);
    }
}
