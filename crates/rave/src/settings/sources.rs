//! The configuration files: rave.toml, profiles/*.toml, the user's own, rave.local.toml. No other folder has any
//! influence.

use std::fs;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use rave_spec::{ConfigFile, Loaded};

use crate::command_error::CommandError;

/// The folder of the profiles: one file each, named after the profile.
const PROFILES: &str = "profiles";

/// A parsed file.
struct Read {
    name: String,
    text: String,
    /// The name of the profile, if the file defines one.
    profile: Option<String>,
}

/// Reads and checks the checkout's files, without the user's additions.
pub(super) fn shipped(root: &Utf8Path) -> anyhow::Result<Loaded> {
    check(&tracked(root)?, &[])
}

/// Reads and checks all files; `user` is the folder of the user's own file, and `variables` override everything.
pub(super) fn load(
    root: &Utf8Path,
    user: &Utf8Path,
    variables: &[(String, String)],
) -> anyhow::Result<Loaded> {
    let mut files = tracked(root)?;
    let own = user.join("rave.toml");
    if own.exists() {
        // The full path, because rave.toml of the checkout has the same name.
        files.push(Read { name: own.to_string(), ..read(user, "rave.toml", None)? });
    }
    let local = "rave.local.toml";
    if root.join(local).exists() {
        files.push(read(root, local, None)?);
    }
    check(&files, variables)
}

fn tracked(root: &Utf8Path) -> anyhow::Result<Vec<Read>> {
    let mut files = vec![read(root, "rave.toml", None)?];
    for profile in profiles(root)? {
        let name = format!("{PROFILES}/{profile}.toml");
        files.push(read(root, &name, Some(profile))?);
    }
    Ok(files)
}

fn check(files: &[Read], variables: &[(String, String)]) -> anyhow::Result<Loaded> {
    let sources: Vec<ConfigFile<'_>> = files.iter().map(Read::source).collect();
    rave_spec::load(&sources, variables).map_err(|errors| {
        let count = errors.0.len();
        let noun = if count == 1 { "an error".to_owned() } else { format!("{count} errors") };
        let failure = CommandError::usage(format!("the configuration has {noun}"));
        let failure = errors.0.iter().fold(failure, |failure, problem| failure.detail(problem.to_string()));
        failure.remedy("correct the values above; docs/configuration.md lists the keys and variables").into()
    })
}

impl Read {
    fn source(&self) -> ConfigFile<'_> {
        match &self.profile {
            Some(profile) => ConfigFile::profile(&self.name, profile, &self.text),
            None => ConfigFile::settings(&self.name, &self.text),
        }
    }
}

fn read(root: &Utf8Path, name: &str, profile: Option<String>) -> anyhow::Result<Read> {
    let path = root.join(name);
    let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
    Ok(Read { name: name.to_owned(), text, profile })
}

/// The sorted names of the profiles that have a file. A checkout may have none: rave.toml may contain them as tables.
fn profiles(root: &Utf8Path) -> anyhow::Result<Vec<String>> {
    let folder = root.join(PROFILES);
    let entries = match folder.read_dir_utf8() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| unreadable(&folder, &error))?,
    };
    let paths: Vec<Utf8PathBuf> = entries
        .map(|entry| entry.map(camino::Utf8DirEntry::into_path))
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable(&folder, &error))?;
    let toml = paths.iter().filter(|path| path.extension() == Some("toml"));
    let mut names: Vec<String> = toml.filter_map(|path| path.file_stem()).map(str::to_owned).collect();
    names.sort();
    Ok(names)
}

fn unreadable(path: &Utf8Path, error: &io::Error) -> anyhow::Error {
    CommandError::usage(format!("{path} cannot be read")).detail(error.to_string()).into()
}
