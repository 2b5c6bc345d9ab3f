//! Selects the changes to apply.

use std::collections::BTreeMap;

use crate::apply::Wanted;
use crate::byte_path::BytePath;
use crate::changes::Change;
use crate::error::Error;
use crate::quarantine::{Class, Quarantine, Sides};

/// Changes, grouped by what happens to them.
#[derive(Debug, Default)]
pub struct Chosen {
    /// To be applied.
    pub wanted: BTreeMap<BytePath, (Change, Wanted)>,
    /// To be applied after confirmation.
    pub asked: Vec<Change>,
    /// Left out because they were not named.
    pub left: Vec<Change>,
}

/// Selects the changes that `only` names, as paths or folders; all of them if it is empty. A change that runs by itself
/// must be named: by its own path, or by a folder that is held back itself.
pub fn choose(changes: Vec<Change>, only: &[BytePath], quarantine: &Quarantine) -> Result<Chosen, Error> {
    let covers = |name: &BytePath, change: &Change| change.path.is_in(name.bytes());
    if let Some(name) = only.iter().find(|name| !changes.iter().any(|change| covers(name, change))) {
        return Err(Error::NotFound { what: format!("the sandbox has not changed {name}") });
    }
    let is_held = |name: &BytePath| {
        quarantine.of(name.bytes(), Sides::default()).is_some_and(|held| held.class == Class::RunsByItself)
    };
    let mut chosen = Chosen::default();
    for change in changes {
        let names: Vec<&BytePath> = only.iter().filter(|name| covers(name, &change)).collect();
        if !only.is_empty() && names.is_empty() {
            continue;
        }
        let class = change.held.as_ref().map(|held| held.class);
        match class {
            // Applying it reports the refusal.
            _ if change.refused.is_some() => {}
            Some(Class::RunsByItself) if !names.iter().any(|name| **name == change.path || is_held(name)) => {
                chosen.left.push(change);
                continue;
            }
            Some(Class::RunsOnBuild) if names.is_empty() => {
                chosen.asked.push(change);
                continue;
            }
            _ => {}
        }
        chosen.wanted.insert(change.path.clone(), (change, Wanted::Whole));
    }
    Ok(chosen)
}
