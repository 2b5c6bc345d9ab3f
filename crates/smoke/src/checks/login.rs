//! Who can log in over SSH.

use rave_vm::ssh::PasswordLogin;

use crate::guest::Guest;
use crate::poll::{CheckError, Observation, ensure};

pub(crate) fn by_key(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let name = guest.log_in("id -un", seen)?;
    ensure(name == guest.expected.user, || format!("logged in as {name}, not {}", guest.expected.user))
}

pub(crate) fn by_password(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let expected = &guest.expected;
    let answer = guest.ssh.password_login(&expected.password, &guest.folder, guest.limits.answer)?;
    seen.note(describe(&answer));
    match (expected.hardened, &answer) {
        (false, PasswordLogin::Accepted) | (true, PasswordLogin::Refused { .. }) => {}
        (false, _) => return Err(CheckError::Failed("the profile's password does not log in".into())),
        (true, _) => return Err(CheckError::Failed("a hardened guest accepts passwords".into())),
    }
    if expected.hardened {
        return Ok(());
    }
    let wrong = guest.ssh.password_login("not the password", &guest.folder, guest.limits.answer)?;
    ensure(wrong != PasswordLogin::Accepted, || "any password logs in".into())
}

pub(crate) fn root_refused(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let root = guest.ssh.as_user("root");
    match root.exec("true", guest.limits.answer) {
        Ok(_) => return Err(CheckError::Failed("root can log in with the user's key".into())),
        Err(rave_vm::Error::Ssh { tail, .. }) => {
            let text = tail.join(" ");
            seen.note(&text);
            ensure(text.contains("Permission denied"), || format!("failed, but was not refused: {text}"))?;
        }
        Err(other) => return Err(other.into()),
    }
    let answer = root.password_login(&guest.expected.password, &guest.folder, guest.limits.answer)?;
    seen.note(describe(&answer));
    ensure(answer != PasswordLogin::Accepted, || "root can log in with a password".into())
}

fn describe(answer: &PasswordLogin) -> String {
    match answer {
        PasswordLogin::Accepted => "accepted".into(),
        PasswordLogin::Denied => "denied".into(),
        PasswordLogin::Refused { methods } => format!("refused; offered: {}", methods.join(", ")),
    }
}
