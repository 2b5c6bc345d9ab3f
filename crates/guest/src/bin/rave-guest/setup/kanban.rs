//! Vibe Kanban's profiles: its agents are the guest's pinned programs, while its own defaults download the latest ones.

use crate::error::Error;
use crate::files::{self, Ids};
use std::path::Path;

/// `base_command_override` of each of Claude Code's profiles; the other keys are those of Vibe Kanban's own defaults,
/// because a profile replaces them completely.
const PROFILES: &str = include_str!("../../../../assets/kanban-profiles.json");

/// The folder of the user's profiles, below the home.
const PLACE: &str = ".local/share/vibe-kanban";

pub(super) fn configure(home: &Path, ids: Ids) -> Result<(), Error> {
    let folder = home.join(PLACE);
    files::directory(&folder, 0o755, Some(ids))?;
    files::write_once(&folder.join("profiles.json"), 0o644, ids, PROFILES)
}
