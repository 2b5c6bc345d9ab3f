//! Landlock, landlock(7): which paths stay accessible. It also prevents the process from tracing, and on newer kernels
//! from signalling, processes outside its domain.

use camino::Utf8Path;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreated, RulesetCreatedAttr as _, RulesetStatus, Scope,
};

use crate::error::Error;
use crate::rules::Rules;

/// Everything up to this ABI is restricted, as far as the kernel supports it.
const NEWEST: ABI = ABI::V10;

/// Makes all other paths inaccessible.
pub(crate) fn restrict(rules: &Rules) -> Result<(), Error> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev;
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    for (paths, access) in [
        (&rules.read, read),
        (&rules.execute, read | AccessFs::Execute),
        (&rules.write, write),
        (&rules.sockets, AccessFs::MakeSock | AccessFs::RemoveFile),
    ] {
        for path in paths {
            ruleset = leave(ruleset, path, access)?;
        }
    }
    match ruleset.restrict_self()?.ruleset {
        RulesetStatus::NotEnforced => Err(Error::NoLandlock),
        _ => Ok(()),
    }
}

/// Keeps a path accessible, if it exists.
fn leave(
    ruleset: RulesetCreated,
    path: &Utf8Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, Error> {
    let Ok(file) = PathFd::new(path) else { return Ok(ruleset) };
    // Rights that only apply to folders are refused for a file.
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
    Ok(ruleset.add_rule(PathBeneath::new(file, access))?)
}
