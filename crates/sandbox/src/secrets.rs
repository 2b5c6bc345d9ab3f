//! The user's secrets in a sandbox: the guest has a placeholder for each, which is worthless elsewhere.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};

use rave_guest::channel::provision::{GitLogin, Provision};
use rave_net::{Model, Policy, Secret};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::files::save;
use crate::place::Place;

/// What the supervisor has and the guest must not have. Fields that belong to the sandbox are empty: tokens,
/// placeholders, usage.
#[derive(Debug, Default)]
pub struct Credentials {
    /// The model.
    pub model: Option<Model>,
    /// The user's secrets.
    pub secrets: Vec<UserSecret>,
}

/// A secret of the user's configuration.
#[derive(Debug, Clone)]
pub struct UserSecret {
    /// The secret.
    pub secret: Secret,
    /// The variable that contains its placeholder in the guest.
    pub variable: String,
    /// The user name with which git uses the placeholder as a password.
    pub git_user: Option<String>,
}

/// A secret that the guest can use at present, for display.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsableSecret {
    /// The user's name for it.
    pub name: String,
    /// The host, with its port if that is not 443.
    pub host: String,
    /// The variable that contains its placeholder in the guest.
    pub variable: String,
}

impl UserSecret {
    fn host(&self) -> String {
        let Secret { host, port, .. } = &self.secret;
        if *port == 443 { host.to_string() } else { format!("{host}:{port}") }
    }
}

/// The secrets that a policy lets the guest use.
pub(crate) fn usable(secrets: &[UserSecret], policy: &Policy) -> Vec<UsableSecret> {
    let shown = |one: &UserSecret| UsableSecret {
        name: one.secret.name.clone(),
        host: one.host(),
        variable: one.variable.clone(),
    };
    reached(secrets, policy).map(shown).collect()
}

fn reached<'a>(secrets: &'a [UserSecret], policy: &Policy) -> impl Iterator<Item = &'a UserSecret> {
    secrets.iter().filter(|one| one.secret.is_reached(policy))
}

/// Adds the guest's part of them: placeholders.
pub(crate) fn provide(secrets: &[UserSecret], policy: &Policy, provision: &mut Provision) {
    for one in reached(secrets, policy) {
        let placeholder = one.secret.placeholder.clone();
        provision.environment.push((one.variable.clone(), placeholder.clone()));
        if let Some(user) = &one.git_user {
            provision.git.push(GitLogin { host: one.host(), user: user.clone(), password: placeholder });
        }
    }
}

/// The secrets with this sandbox's placeholders, which are created once.
pub(crate) fn placed(place: &Place, secrets: Vec<UserSecret>) -> Result<Vec<UserSecret>, Error> {
    if secrets.is_empty() {
        return Ok(secrets);
    }
    let path = place.placeholders();
    let mut known: BTreeMap<String, String> = match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text)
            .map_err(|error| Error::BadRecord { path: path.clone(), why: error.to_string() })?,
        Err(error) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => return Err(Error::io("read", &path, error)),
    };
    let before = known.len();
    let placed = secrets.into_iter().map(|one| {
        let placeholder = match known.get(&one.secret.name) {
            Some(placeholder) => placeholder.clone(),
            None => token()?,
        };
        known.insert(one.secret.name.clone(), placeholder.clone());
        Ok(UserSecret { secret: Secret { placeholder, ..one.secret }, ..one })
    });
    let placed = placed.collect::<Result<Vec<_>, Error>>()?;
    if known.len() != before {
        save(&path, &known)?;
    }
    Ok(placed)
}

/// An unguessable token.
pub(crate) fn token() -> Result<String, Error> {
    let mut bytes = [0; 32];
    let read = File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes));
    read.map_err(|error| Error::io("read", "/dev/urandom", error))?;
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("rave-{}", digits.concat()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use camino::Utf8Path;
    use std::sync::Arc;

    fn secret(name: &str, port: u16, git_user: Option<&str>) -> UserSecret {
        let secret = Secret {
            name: name.into(),
            host: format!("{name}.example").parse().unwrap(),
            port,
            header: "authorization".into(),
            placeholder: String::new(),
            source: Arc::new(|| Ok("the-real-secret".into())),
        };
        UserSecret { secret, variable: name.to_uppercase(), git_user: git_user.map(str::to_owned) }
    }

    #[test]
    fn a_placeholder_is_created_once_and_unique_to_its_sandbox() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(Utf8Path::from_path(folder.path()).unwrap());
        let of = |sandbox: &str, secrets: &[&str]| -> Vec<String> {
            let place = store.place(&sandbox.parse().unwrap());
            fs::create_dir_all(place.folder()).unwrap();
            let secrets = secrets.iter().map(|name| secret(name, 443, None)).collect();
            placed(&place, secrets).unwrap().into_iter().map(|one| one.secret.placeholder).collect()
        };
        let first = of("one", &["a"]);
        let later = of("one", &["b", "a"]);
        assert_eq!(first[0], later[1], "running programs can continue to use it");
        let other = of("two", &["a"]);
        assert!(first[0] != later[0] && first[0] != other[0] && first[0].len() == 69, "{first:?} {other:?}");
        let path = store.place(&"one".parse().unwrap()).placeholders();
        assert!(!fs::read_to_string(path).unwrap().contains("the-real-secret"));
    }

    #[test]
    fn the_guest_gets_placeholders_of_reachable_hosts_only() {
        let place = |one: UserSecret| UserSecret {
            secret: Secret { placeholder: format!("place-{}", one.secret.name), ..one.secret },
            ..one
        };
        let secrets = [secret("forge", 8443, Some("me")), secret("api", 443, None), secret("far", 443, None)]
            .map(place);
        let policy = Policy {
            allow: ["forge.example:8443/tcp", "*.example,private", "api.example"]
                .map(|rule| rule.parse().unwrap())
                .to_vec(),
            deny: vec!["far.example".parse().unwrap()],
            ..Policy::default()
        };
        let mut provision = Provision::default();
        provide(&secrets, &policy, &mut provision);
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(provision.environment, [variable("FORGE", "place-forge"), variable("API", "place-api")]);
        let login =
            GitLogin { host: "forge.example:8443".into(), user: "me".into(), password: "place-forge".into() };
        assert_eq!(provision.git, [login]);
        assert!(!format!("{provision:?}").contains("place-forge"), "{provision:?}");
        let hosts: Vec<String> = usable(&secrets, &policy).into_iter().map(|one| one.host).collect();
        assert_eq!(hosts, ["forge.example:8443", "api.example"]);
    }
}
