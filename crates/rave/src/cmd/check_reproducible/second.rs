//! The second build: a different checkout, cache, home, time zone, umask and locale, different settings of the tools,
//! and a different user if root can become one.

mod user;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use rave_image::bases::debian::{NetworkAccess, PackagePolicy};
use rave_image::build::BuildOptions;
use rave_image::tempdir::{self, LockedTempDir};
use rave_process::Cmd;
use rave_process::progress::{Event, StageOutcome};

use crate::command_error::CommandError;
use crate::exit::Code;
use crate::git::git;
use crate::program::this_program;
use crate::settings::Settings;
use crate::ui::Ui;
use user::Builder;

const STAGE: &str = "second build";

/// Names with spaces: paths must not matter.
const CHECKOUT: &str = "another checkout/of rave";
const CACHE: &str = "another cache";
const OUT: &str = "another out";
const HOME: &str = "another home";
const STATE: &str = "another state";

/// Twelve hours behind UTC (POSIX, "Environment Variables", `TZ`), so that half of the time the date differs too.
const TIME_ZONE: &str = "RAVE+12";

/// Settings that a builder may have for good reasons, and that change the output of every step that does not override
/// them.
const SETTINGS: &[(&str, &str)] = &[
    ("CARGO_PROFILE_GUEST_OPT_LEVEL", "1"),
    ("E2FSPROGS_FAKE_TIME", "1"),
    ("MTOOLS_NO_VFAT", "1"),
    ("NODE_OPTIONS", "--no-warnings"),
    ("PYTHONDONTWRITEBYTECODE", ""),
    ("PYTHONOPTIMIZE", "2"),
    ("TAR_OPTIONS", "--mtime=@1"),
    ("XZ_OPT", "-0"),
    ("ZSTD_CLEVEL", "1"),
    ("npm_config_install_strategy", "nested"),
    ("npm_config_omit_lockfile_registry_resolved", "false"),
];

/// The same as files in a home. Another user's home is left as it is.
const DOT_FILES: &[(&str, &str)] = &[
    (".mtoolsrc", "MTOOLS_NO_VFAT=1\n"),
    (".npmrc", "install-strategy=nested\n"),
    (".xorrisorc", "-publisher ANOTHER\n"),
];

/// Caches addressed by content digest, which need not be fetched twice.
const FETCHED: &[&str] = &["debs", "npm"];

/// The folders of the second build; they are removed unless kept.
pub(in crate::cmd) struct Second {
    folder: LockedTempDir,
    path: Utf8PathBuf,
    builder: Builder,
}

impl Second {
    /// Copies the checkout and chooses the user who builds.
    pub(in crate::cmd) fn prepare(settings: &Settings, ui: &Ui) -> anyhow::Result<Self> {
        let second = Self::folders(ui, user::choose)?;
        second.fill_caches(settings)?;
        second.finish(settings)?;
        Ok(second)
    }

    /// The same with caches that contain only what `fill` puts there: this user builds, with a separate Cargo folder.
    pub(in crate::cmd) fn alone(
        settings: &Settings,
        ui: &Ui,
        fill: impl FnOnce(&Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let second =
            Self::folders(ui, |home| (user::same(home), "built by this user, from the inputs alone".into()))?;
        fill(&second)?;
        second.finish(settings)?;
        Ok(second)
    }

    fn folders(ui: &Ui, choose: impl FnOnce(&Utf8Path) -> (Builder, String)) -> anyhow::Result<Self> {
        let place = tempdir::place();
        let folder = LockedTempDir::new(&place, "rave-double-")
            .with_context(|| format!("cannot make a folder in {place}"))?;
        let path = folder.path().to_owned();
        // A different user may build in it.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        let (builder, note) = choose(&path.join(HOME));
        ui.note(&note);
        for name in [CHECKOUT, CACHE, OUT, HOME, STATE] {
            fs::create_dir_all(path.join(name))?;
        }
        for (name, text) in DOT_FILES {
            fs::write(path.join(HOME).join(name), text)?;
        }
        Ok(Self { folder, path, builder })
    }

    /// A subfolder for other results.
    pub(in crate::cmd) fn room(&self, name: &str) -> Utf8PathBuf {
        self.path.join(name)
    }

    /// Cargo's folder of a build that is [`Second::alone`].
    pub(in crate::cmd) fn cargo_home(&self) -> Utf8PathBuf {
        self.path.join(HOME).join(".cargo")
    }

    pub(in crate::cmd) fn out(&self) -> Utf8PathBuf {
        self.path.join(OUT)
    }

    pub(in crate::cmd) fn cache(&self) -> Utf8PathBuf {
        self.path.join(CACHE)
    }

    /// Keeps the folder, so that the cause can be investigated.
    pub(in crate::cmd) fn keep(self) -> Utf8PathBuf {
        self.folder.keep()
    }

    fn fill_caches(&self, settings: &Settings) -> anyhow::Result<()> {
        for name in FETCHED {
            let from = settings.cache_dir.join(name);
            if from.is_dir() {
                copy_tree(&from, &self.cache().join(name))?;
            }
        }
        if let Some(cargo) = &self.builder.cargo_to_copy {
            let target = self.path.join(HOME).join(".cargo");
            for name in ["config.toml", "registry/cache", "registry/index"] {
                let from = cargo.join(name);
                if from.exists() {
                    copy_tree(&from, &target.join(name))?;
                }
            }
        }
        Ok(())
    }

    fn finish(&self, settings: &Settings) -> anyhow::Result<()> {
        copy_checkout(&settings.root, &self.path.join(CHECKOUT))?;
        // The program is the same: what it embeds comes from the first checkout, the rest is read from the second.
        fs::copy(this_program()?, self.program())?;
        if let Some(owner) = self.builder.owner() {
            Cmd::new("chown").args(["-R", &owner, self.path.as_str()]).output()?;
        }
        Ok(())
    }

    fn program(&self) -> Utf8PathBuf {
        self.path.join("xtask")
    }

    /// Runs the same program there, without any cached stage.
    pub(in crate::cmd) fn build(
        &self,
        settings: &Settings,
        wanted: &BuildOptions<'_>,
        epoch: u64,
        ui: &Ui,
    ) -> anyhow::Result<()> {
        let sink = ui.sink();
        sink(Event::StageStarted { stage: STAGE });
        let started = std::time::Instant::now();
        let argv = self.argv(settings, wanted);
        let mut command = Cmd::new(&argv[0])
            .args(&argv[1..])
            .current_dir(self.path.join(CHECKOUT))
            .env("HOME", self.builder.home.as_str())
            .env("TZ", TIME_ZONE)
            .env("LC_ALL", language())
            .env("RAVE_CACHE", self.cache().as_str())
            .env("RAVE_STATE", self.path.join(STATE).as_str())
            .env("SOURCE_DATE_EPOCH", epoch.to_string())
            .env("RAVE_HOME", self.path.join(CHECKOUT).as_str())
            .env("NO_COLOR", "1");
        for (name, value) in SETTINGS {
            command = command.env(*name, *value);
        }
        for (name, value) in &self.builder.variables {
            command = command.env(name, value);
        }
        // xtask finds the checkout from the folder.
        for name in ["CARGO_MANIFEST_DIR", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"] {
            command = command.env_remove(name);
        }
        command.run(&mut |line| sink(Event::StageOutput { stage: STAGE, line: line.text })).map_err(
            |error| match error {
                rave_process::Error::Interrupted { .. } => {
                    anyhow::Error::from(CommandError::new(Code::Interrupted, "interrupted"))
                }
                error => {
                    CommandError::of_command(Code::BuildFailed, "the second build failed", &error, 20).into()
                }
            },
        )?;
        sink(Event::StageFinished { stage: STAGE, elapsed: started.elapsed(), outcome: StageOutcome::Built });
        Ok(())
    }

    fn argv(&self, settings: &Settings, wanted: &BuildOptions<'_>) -> Vec<String> {
        let formats = wanted.formats.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let mut argv = self.builder.before.clone();
        argv.extend(["sh", "-c", "umask \"$0\"; exec \"$@\"", another_umask()].map(String::from));
        argv.extend([self.program().to_string(), "image".into()]);
        argv.extend(["--base".into(), settings.base.to_string()]);
        argv.extend(["--profile".into(), settings.profile.to_string()]);
        argv.extend(["--format".into(), formats, "--out".into(), self.out().to_string()]);
        argv.extend((wanted.network == NetworkAccess::Off).then(|| "--offline".to_owned()));
        argv.extend((wanted.packages == PackagePolicy::Frozen).then(|| "--frozen".to_owned()));
        argv.extend(wanted.compress.iter().flat_map(|how| ["--compress".into(), how.to_string()]));
        argv
    }
}

/// The strict umask, or the usual one if the strict one is set already.
fn another_umask() -> &'static str {
    // `Umask:` of proc_pid_status(5), octal.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ours = status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap_or_default();
    if ours.trim() == "0077" { "022" } else { "077" }
}

/// A locale that sorts and formats differently from the current one, if the host has one.
fn language() -> String {
    let known = Cmd::new("locale").arg("-a").output().map(|output| output.stdout).unwrap_or_default();
    let known = String::from_utf8_lossy(&known).into_owned();
    let plain = ["C", "C.utf8", "C.UTF-8", "POSIX"];
    let ours = std::env::var("LC_ALL").or_else(|_| std::env::var("LANG")).unwrap_or_default();
    let other = known.lines().find(|name| !plain.contains(name) && **name != *ours);
    other.unwrap_or("POSIX").to_owned()
}

/// Copies what git would commit, and the user's own settings.
fn copy_checkout(root: &Utf8Path, target: &Utf8Path) -> anyhow::Result<()> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listed = git(root).args(arguments).output().map_err(|error| {
        CommandError::of_command(Code::HostNotReady, "git cannot list the checkout's files", &error, 5)
            .remedy("run this in a clone of the repository, with git installed")
    })?;
    let names = listed.stdout.split(|byte| *byte == 0).filter_map(|name| std::str::from_utf8(name).ok());
    for name in names.filter(|name| !name.is_empty()).chain(["rave.local.toml"]) {
        let from = root.join(name);
        // A file whose removal is not committed is still in the index.
        if from.is_file() {
            copy_tree(&from, &target.join(name))?;
        }
    }
    Ok(())
}

/// Copies a file, or a folder recursively. Timestamps are current, as in a fresh clone.
fn copy_tree(from: &Utf8Path, to: &Utf8Path) -> anyhow::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in from.read_dir_utf8()? {
            let entry = entry?;
            copy_tree(entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {from} to {to}"))?;
    Ok(())
}
