//! Vibe Kanban's profiles: its agents are the guest's pinned programs, where its own defaults fetch the latest ones.

use crate::error::Error;
use crate::files::{self, Ids};
use std::path::Path;

/// `base_command_override` of each of Claude Code's profiles; the other keys are those of Vibe Kanban's own defaults,
/// which a profile replaces whole.
const PROFILES: &str = include_str!("../../../../assets/kanban-profiles.json");

/// Where it looks for the profiles of its user, below the home.
const PLACE: &str = ".local/share/vibe-kanban";

pub(super) fn configure(home: &Path, ids: Ids) -> Result<(), Error> {
    let folder = home.join(PLACE);
    files::directory(&folder, 0o755, Some(ids))?;
    files::write_once(&folder.join("profiles.json"), 0o644, ids, PROFILES)
}
