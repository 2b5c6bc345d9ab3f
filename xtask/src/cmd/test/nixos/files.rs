//! Files and folders of the harness's store.

use std::fs;

use anyhow::Context as _;
use camino::Utf8Path;
use rave_process::Cmd;

pub(super) fn make_parent(path: &Utf8Path) -> anyhow::Result<()> {
    Ok(fs::create_dir_all(path.parent().context("a path with a parent")?)?)
}

pub(super) fn copy(from: &Utf8Path, to: &Utf8Path) -> anyhow::Result<()> {
    Cmd::new("cp")
        .args(["--recursive", "--no-dereference", "--no-target-directory", from.as_str(), to.as_str()])
        .output()?;
    Ok(())
}
