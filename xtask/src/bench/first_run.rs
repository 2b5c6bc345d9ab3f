//! A user's first quarter of an hour, compared with an earlier commit: `smoke` with warm caches, and `image` with
//! nothing to do. Both tools run alternately on the same machine, so that other load affects both.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;
use rave_smoke::report::{Boot, Run};
use serde::Deserialize;
use xshell::{Shell, cmd};

use crate::bench::{Report, Unit, seconds};
use rave::settings::Settings;
use rave::ui::Ui;

/// Ratio of the checks to the earlier commit's.
const CHECKS_TARGET: f64 = 0.4;
/// Ratio of all of `smoke`, once the tool is built.
const SMOKE_TARGET: f64 = 0.65;
/// An `image` with nothing to do, in seconds.
const NOTHING_TARGET: f64 = 0.3;

/// Adds the rows. The earlier commit's checkout is below `place`; cargo's build of it stays in the target folder.
pub(crate) fn measure(
    report: &mut Report,
    settings: &Settings,
    place: &Utf8Path,
    commit: &str,
    ui: &Ui,
) -> anyhow::Result<()> {
    let worktree = Worktree::add(&settings.root, &place.join("against"), commit)?;
    ui.note(&format!("bench: building the tool of {commit}"));
    let before = Tool {
        program: build(&worktree.path)?,
        folder: &worktree.path,
        out_dir: place.join("out-before"),
        settings,
    };
    let after = Tool {
        program: Utf8PathBuf::try_from(std::env::current_exe()?)?,
        folder: &settings.root,
        out_dir: place.join("out-after"),
        settings,
    };
    let tools = [&before, &after];
    ui.note("bench: an image of each, to warm the caches");
    tools.iter().try_for_each(|tool| tool.image().map(drop))?;
    let mut smokes = [Vec::new(), Vec::new()];
    let mut nothing = [Vec::new(), Vec::new()];
    for run in 1..=report.runs {
        for (index, tool) in tools.iter().enumerate() {
            ui.note(&format!("bench: first run {run} of {}, {}", report.runs, ["before", "after"][index]));
            nothing[index].push(tool.image()?);
            smokes[index].push(tool.smoke()?);
        }
    }
    add(report, &smokes, &nothing);
    Ok(())
}

fn add(report: &mut Report, smokes: &[Vec<Smoke>; 2], nothing: &[Vec<Duration>; 2]) {
    let [before, after] = [0, 1].map(|index| {
        let of = |part: fn(&Smoke) -> f64| smokes[index].iter().map(part).collect::<Vec<_>>();
        (of(|smoke| smoke.checks), of(|smoke| smoke.boot), of(|smoke| smoke.whole))
    });
    let mut compare = |what, after: &[f64], before: &[f64], target| {
        report.add_beside(what, Unit::Seconds, after, before, target);
    };
    compare("first run: checks", &after.0, &before.0, Some(CHECKS_TARGET));
    compare("first run: boot", &after.1, &before.1, None);
    compare("first run: smoke, after the tool is built", &after.2, &before.2, Some(SMOKE_TARGET));
    compare("first run: image, nothing to do", &seconds(&nothing[1]), &seconds(&nothing[0]), None);
    report.add_with_target(
        "first run: image, nothing to do, alone",
        Unit::Seconds,
        &seconds(&nothing[1]),
        NOTHING_TARGET,
    );
}

/// One of the two tools.
struct Tool<'a> {
    program: Utf8PathBuf,
    /// The checkout that it was built from.
    folder: &'a Utf8Path,
    out_dir: Utf8PathBuf,
    settings: &'a Settings,
}

/// Durations of one `smoke`, seconds.
#[derive(Debug, PartialEq)]
struct Smoke {
    whole: f64,
    boot: f64,
    /// From readiness to the machine's end.
    checks: f64,
}

impl Tool<'_> {
    fn image(&self) -> anyhow::Result<Duration> {
        Ok(self.command("image").args(["--format", "qemu"]).output()?.elapsed)
    }

    fn smoke(&self) -> anyhow::Result<Smoke> {
        let output = self.command("smoke").args(["--format", "qemu", "--json"]).output()?;
        parts(&output.stdout, output.elapsed)
    }

    fn command(&self, name: &str) -> Cmd {
        Cmd::new(self.program.as_std_path())
            .args([name, "--base", self.settings.base.as_str(), "--profile", self.settings.profile.as_str()])
            .args(["--out", self.out_dir.as_str()])
            .env("RAVE_CACHE", self.settings.cache_dir.as_str())
            // Set by cargo for this process; the tool would use it to find its checkout.
            .env("CARGO_MANIFEST_DIR", self.folder.join("xtask").as_str())
            .current_dir(self.folder)
    }
}

/// The part of the report of `smoke --json` that is read: the format of its runs is unchanged since schema 3.
#[derive(Deserialize)]
struct Smoked {
    runs: Vec<Run>,
}

fn parts(report: &[u8], whole: Duration) -> anyhow::Result<Smoke> {
    let report: Smoked = serde_json::from_slice(report).context("smoke --json printed no report")?;
    let [run] = report.runs.as_slice() else { anyhow::bail!("{} runs in smoke's report", report.runs.len()) };
    let Boot::Ready(boot) = &run.boot else { anyhow::bail!("the guest did not become ready") };
    Ok(Smoke { whole: whole.as_secs_f64(), boot: boot.ready, checks: run.seconds - boot.ready })
}

/// Builds the tool of a checkout beside this one: a second measurement reuses it.
fn build(checkout: &Utf8Path) -> anyhow::Result<Utf8PathBuf> {
    let ours = Utf8PathBuf::try_from(std::env::current_exe()?)?;
    let target = ours.parent().and_then(Utf8Path::parent).context("this program is in no target folder")?;
    let target = target.join("bench-against");
    Cmd::new("cargo")
        .args(["build", "--quiet", "--locked", "--package", "xtask", "--target-dir", target.as_str()])
        .current_dir(checkout)
        .run(&mut |_| ())?;
    Ok(target.join("debug/xtask"))
}

/// A checkout of a commit, which is removed with this value.
struct Worktree {
    root: Utf8PathBuf,
    path: Utf8PathBuf,
}

impl Worktree {
    fn add(root: &Utf8Path, path: &Utf8Path, commit: &str) -> anyhow::Result<Self> {
        let shell = Shell::new()?;
        // Worktrees whose folders were removed without git.
        cmd!(shell, "git -C {root} worktree prune").quiet().run()?;
        let worktree = Self { root: root.to_owned(), path: path.to_owned() };
        let add = cmd!(shell, "git -C {root} worktree add --quiet --detach {path} {commit}");
        add.quiet().ignore_stdout().run().with_context(|| format!("cannot check out {commit}"))?;
        Ok(worktree)
    }
}

impl Drop for Worktree {
    fn drop(&mut self) {
        // A leftover folder belongs to the bench and is removed with it; git forgets it at the next prune.
        let _ = fs::remove_dir_all(&self.path);
        let root = &self.root;
        if let Ok(shell) = Shell::new() {
            let _ = cmd!(shell, "git -C {root} worktree prune").quiet().ignore_stderr().run();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository with one commit of one file.
    fn repository(folder: &Utf8Path) -> Shell {
        let shell = Shell::new().unwrap();
        shell.change_dir(folder);
        fs::write(folder.join("file"), "then").unwrap();
        cmd!(shell, "git init --quiet").run().unwrap();
        cmd!(shell, "git add file").run().unwrap();
        let identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"];
        cmd!(shell, "git {identity...} commit --quiet --message first").run().unwrap();
        shell
    }

    #[test]
    fn the_worktree_exists_and_is_removed_even_after_a_failure() {
        let scratch = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(scratch.path()).unwrap().join("repository");
        fs::create_dir(&root).unwrap();
        let shell = repository(&root);
        fs::write(root.join("file"), "now").unwrap();
        let path = root.with_file_name("against");
        let known = || cmd!(shell, "git worktree list").read().unwrap().lines().count();
        let failed: anyhow::Result<()> = (|| {
            let worktree = Worktree::add(&root, &path, "HEAD")?;
            assert_eq!(fs::read_to_string(worktree.path.join("file")).unwrap(), "then");
            assert_eq!(known(), 2);
            anyhow::bail!("a run that failed")
        })();
        assert!(failed.is_err() && !path.exists());
        assert_eq!(known(), 1);
        assert!(Worktree::add(&root, &path, "no-such-commit").is_err());
        assert!(!path.exists());
        assert_eq!(known(), 1);
    }

    #[test]
    fn checks_take_the_rest_of_a_run_after_its_boot() {
        let report = r#"{"schema": 3, "runs": [{
            "subject": {"base": "", "profile": "", "format": "", "row": "", "medium": "", "artifact": "", "sha256": "",
                "accelerator": "", "firmware": "", "bus": "", "nic": "", "memory_mib": 1, "cpus": 1},
            "seconds": 100.5, "rows": [], "screenshots": [], "warnings": [],
            "boot": {"result": "ready", "firmware": 1.0, "loader": 1.0, "kernel_initrd": 1.0, "userspace": 1.0,
                "ready": 40.5, "stages": []}}]}"#;
        let smoke = parts(report.as_bytes(), Duration::from_secs(120)).unwrap();
        assert_eq!(smoke, Smoke { whole: 120.0, boot: 40.5, checks: 60.0 });
        assert!(parts(br#"{"runs": []}"#, Duration::ZERO).is_err());
        assert!(parts(b"", Duration::ZERO).is_err());
    }
}
