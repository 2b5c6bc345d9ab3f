//! `rave-guest claude`: installs Claude Code with npm, in the version and with the integrity hash of the lock. It runs
//! as the user, whose npm settings choose the registry, and retries until it succeeds.

use crate::error::Error;
use crate::files::{self, failed};
use crate::spawn;
use rave_guest::assets::claude;
use rave_guest::config::GuestConfig;
use rave_guest::protocol::ClaudeState;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The pause after the first attempt; each following one is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The timeout of an attempt: 80 MB over a slow line, and 250 MB to unpack on an emulated processor.
const LIMIT: Duration = Duration::from_secs(3600);

pub(crate) fn run(config: &GuestConfig) {
    let installer = Installer::of(config);
    let mut pause = FIRST_PAUSE;
    while let Err(error) = installer.install() {
        println!("not installed yet: {error}");
        println!("the next attempt is in {} s", pause.as_secs());
        thread::sleep(pause);
        pause = longer(pause);
    }
    println!("Claude Code {} is installed", installer.version);
}

/// Whether it can be used, for the health report.
pub(crate) fn state(config: &GuestConfig) -> ClaudeState {
    let is_pending = config.claude_at_first_boot && !Path::new(&claude::program()).is_file();
    if is_pending { ClaudeState::Pending } else { ClaudeState::Ready }
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).min(LONGEST_PAUSE)
}

/// A package that npm installs in a folder of its version.
struct Installer {
    /// The folder of versions.
    state: PathBuf,
    /// npm's `npm-cli.js`.
    npm: PathBuf,
    /// The project: `package.json` and `package-lock.json`.
    project: (String, String),
    version: String,
    /// The program, relative to the project.
    program: &'static str,
    /// Additional arguments of npm: none in a guest.
    options: Vec<String>,
}

impl Installer {
    fn of(config: &GuestConfig) -> Self {
        Self {
            state: claude::STATE.into(),
            npm: Path::new(&config.tools).join("node_modules/npm/bin/npm-cli.js"),
            project: claude::project(),
            version: claude::version(),
            program: claude::PROGRAM,
            options: Vec::new(),
        }
    }

    /// Installs beside the final place and renames, so that the program is complete or missing.
    fn install(&self) -> Result<(), Error> {
        let place = self.state.join(&self.version);
        if place.join(self.program).is_file() {
            return Ok(());
        }
        let (new, cache) = (self.state.join("new"), self.state.join("npm-cache"));
        for leftover in [&new, &place] {
            remove(leftover)?;
        }
        fs::create_dir(&new).map_err(failed("make the folder", &new))?;
        files::write(&new.join("package.json"), 0o644, None, &self.project.0)?;
        files::write(&new.join("package-lock.json"), 0o644, None, &self.project.1)?;
        self.fetch(&new, &cache)?;
        let program = new.join(self.program);
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
            .map_err(failed("make executable", &program))?;
        // If the rename survives a power failure, the content must too.
        File::open(&program).and_then(|file| file.sync_all()).map_err(failed("write", &program))?;
        fs::rename(&new, &place).map_err(failed("rename into", &place))?;
        remove(&cache)
    }

    /// npm compares each archive with the lock's hash. As in the build of an image, no scripts of packages are run.
    fn fetch(&self, folder: &Path, cache: &Path) -> Result<(), Error> {
        let flags = std::env::var("RAVE_NODE_FLAGS").unwrap_or_default();
        let (npm, cache) = (self.npm.to_string_lossy(), format!("--cache={}", cache.display()));
        let fixed = ["ci", "--ignore-scripts", "--omit=dev", "--os=linux", "--cpu=x64", "--libc=glibc"];
        let quiet =
            ["--no-audit", "--no-fund", "--no-progress", "--no-update-notifier", "--loglevel=error", &cache];
        let options = flags.split_whitespace().chain([&*npm]).chain(fixed).chain(quiet);
        let options: Vec<&str> = options.chain(self.options.iter().map(String::as_str)).collect();
        spawn::output_in(folder, "node", &options, LIMIT).map(drop)
    }
}

fn remove(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed("remove", folder)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
