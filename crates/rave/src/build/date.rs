//! The timestamp of packed files: `SOURCE_DATE_EPOCH`, or the date that rave.toml selects.

use std::env;

use camino::Utf8Path;
use rave_spec::Date;

use crate::command_error::CommandError;
use crate::exit::Code;
use crate::git::git;
use crate::settings::Settings;

/// Seconds since 1970: [`date_of_environment`], otherwise the date that rave.toml selects; the lock is read only if its
/// date is needed.
pub fn epoch(settings: &Settings, lock: impl FnOnce() -> anyhow::Result<u64>) -> anyhow::Result<u64> {
    match (date_of_environment()?, settings.spec.spec.debian.date) {
        (Some(epoch), _) => Ok(epoch),
        (None, Date::Lock) => lock(),
        (None, Date::Commit) => of_commit(&settings.root),
    }
}

/// `SOURCE_DATE_EPOCH` as reproducible-builds.org specifies it, whole seconds since 1970.
pub fn date_of_environment() -> anyhow::Result<Option<u64>> {
    let Ok(text) = env::var("SOURCE_DATE_EPOCH") else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        CommandError::usage(format!("SOURCE_DATE_EPOCH is {text:?}; expected whole seconds since 1970"))
            .remedy("unset it, or set it to a number such as 1767225600")
            .into()
    })
}

/// The committer date of the checked-out commit, git-log(1), `%ct`.
fn of_commit(root: &Utf8Path) -> anyhow::Result<u64> {
    let failed = |why: String| {
        CommandError::new(Code::Usage, format!("debian.date = \"commit\": {why}"))
            .remedy("run this in a clone of the repository with git installed, set SOURCE_DATE_EPOCH, or set debian.date = \"lock\"")
    };
    let log = git(root).args(["log", "-1", "--format=%ct"]);
    let printed = log.output().map_err(|error| failed(error.to_string()))?.text();
    Ok(printed
        .trim()
        .parse()
        .map_err(|_| failed(format!("git printed no date, but {:?}", printed.trim())))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8PathBuf;
    use rave_process::Cmd;

    const COMMITTED: u64 = 1_767_225_600;

    fn run(folder: &Utf8Path, arguments: &[&str]) {
        let names = [("GIT_AUTHOR_DATE", "@1 +0000"), ("GIT_COMMITTER_DATE", "@1767225600 +0100")];
        let command =
            Cmd::new("git").args(["-C", folder.as_str(), "-c", "user.name=n", "-c", "user.email=e"]);
        let command = names.iter().fold(command, |command, (name, value)| command.env(*name, *value));
        command.args(arguments).output().unwrap();
    }

    /// A repository with two commits, in a folder that is removed when the first value is dropped.
    fn repository() -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::Builder::new().prefix("a chéckout of mine ").tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(folder.path().canonicalize().unwrap()).unwrap();
        let repository = root.join("repository");
        std::fs::create_dir(&repository).unwrap();
        run(&repository, &["init", "-q"]);
        run(&repository, &["commit", "-q", "--allow-empty", "-m", "m"]);
        run(&repository, &["commit", "-q", "--allow-empty", "-m", "n"]);
        (folder, repository)
    }

    #[test]
    fn clones_shallow_clones_and_worktrees_have_their_commit_date() {
        let (_folder, repository) = repository();
        assert_eq!(of_commit(&repository).unwrap(), COMMITTED);
        run(&repository, &["clone", "-q", "--depth=1", &format!("file://{repository}"), "../shallow"]);
        assert_eq!(of_commit(&repository.with_file_name("shallow")).unwrap(), COMMITTED);
        run(&repository, &["worktree", "add", "-q", "../worktree"]);
        assert_eq!(of_commit(&repository.with_file_name("worktree")).unwrap(), COMMITTED);
    }

    #[test]
    fn an_archive_unpacked_inside_a_repository_has_no_commit_date() {
        let (_folder, repository) = repository();
        let unpacked = repository.join("unpacked");
        std::fs::create_dir(&unpacked).unwrap();
        let error = format!("{:#}", of_commit(&unpacked).unwrap_err());
        assert!(error.contains("debian.date = \"commit\": "), "{error}");
        assert!(error.contains("not a git repository"), "{error}");
    }
}
