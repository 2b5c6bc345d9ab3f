//! Which changes are taken.

use std::collections::BTreeMap;

use crate::apply::Wanted;
use crate::byte_path::BytePath;
use crate::changes::Change;
use crate::error::Error;
use crate::quarantine::{Class, Quarantine, Sides};

/// Changes by what is to be done with them.
#[derive(Debug, Default)]
pub struct Chosen {
    /// To be taken.
    pub wanted: BTreeMap<BytePath, (Change, Wanted)>,
    /// Taken if somebody says so.
    pub asked: Vec<Change>,
    /// Left out, for nobody named them.
    pub left: Vec<Change>,
}

/// Chooses what `only` names, paths or folders; everything if it names nothing. What runs by itself must be named: its own path, or a
/// folder that is held back itself.
pub fn choose(changes: Vec<Change>, only: &[BytePath], quarantine: &Quarantine) -> Result<Chosen, Error> {
    let covers = |name: &BytePath, change: &Change| change.path.is_in(name.bytes());
    if let Some(name) = only.iter().find(|name| !changes.iter().any(|change| covers(name, change))) {
        return Err(Error::NotThere { what: format!("the sandbox has not changed {name}") });
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
            // A refusal is told by what applies.
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
