//! A store of its own: the host's `/nix` with a folder over it, in a mount namespace. Nothing that is built or registered there
//! reaches the host's, and it goes with the step: a store with stand-ins must never be a cache for anybody.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Seek as _};

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;

/// Mounts the folder over `/nix` and runs a command: upper folder, work folder, program, arguments.
const SCRIPT: &str = "set -e; mount -t overlay overlay -o \"lowerdir=$3/nix,upperdir=$1,workdir=$2\" /nix\n\
     for path in \"${3%:}\"/store/*-debian-payload; do\n\
     [ ! -d \"$path\" ] || { mount --bind \"$path\" \"/nix/store/${path##*/}\"; mount -o remount,bind,ro \"/nix/store/${path##*/}\"; }\ndone\n\
     shift 3\nexec \"$@\"";

/// Nothing is asked for or given to anybody, and builders see the host, whose programs they run.
/// Nor does a hook or a key of the host's nix.conf pass on or sign what is built.
const SETTINGS: &str = "sandbox = false\nbuild-users-group =\nsubstitute = false\nsubstituters =\nbuilders =\n\
                        post-build-hook =\nsecret-key-files =\n\
                        experimental-features = nix-command\nallow-import-from-derivation = false\n";

pub(super) struct OwnStore {
    /// Goes with it, if it is not kept.
    _guard: Option<tempfile::TempDir>,
    folder: Utf8PathBuf,
    /// What is laid between it and the host's.
    layer: Option<Utf8PathBuf>,
    log: Utf8PathBuf,
}

impl OwnStore {
    /// An empty one below a folder whose file system takes an overlay.
    pub(super) fn new(scratch: &Utf8Path, log: &Utf8Path) -> anyhow::Result<Self> {
        fs::create_dir_all(scratch)?;
        let guard = tempfile::Builder::new().prefix("nixos-store-").tempdir_in(scratch)?;
        let folder = Utf8PathBuf::try_from(guard.path().to_owned())?;
        for name in ["upper/store", "work"] {
            fs::create_dir_all(folder.join(name))?;
        }
        Ok(Self { _guard: Some(guard), folder, layer: None, log: log.to_owned() })
    }

    /// One that is kept in this folder, over a layer.
    pub(super) fn kept(folder: &Utf8Path, layer: &Utf8Path, log: &Utf8Path) -> anyhow::Result<Self> {
        for name in ["upper/store", "work"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let layer = Some(layer.to_owned());
        Ok(Self { _guard: None, folder: folder.to_owned(), layer, log: log.to_owned() })
    }

    /// All paths that are valid in it.
    pub(super) fn valid(&self) -> anyhow::Result<BTreeSet<String>> {
        let said = self.nix("nix", &["path-info", "--all"])?;
        Ok(said.lines().map(str::to_owned).collect())
    }

    /// Where a path of the store lies while it is not mounted.
    pub(super) fn place(&self, path: &str) -> anyhow::Result<Utf8PathBuf> {
        let below = path.strip_prefix("/nix/").ok_or_else(|| anyhow::anyhow!("{path} is not below /nix"))?;
        Ok(self.folder.join("upper").join(below))
    }

    /// The text of a file that was put into it, or that the host's store has.
    pub(super) fn text(&self, path: &str) -> anyhow::Result<String> {
        let own = self.place(path)?;
        Ok(fs::read_to_string(if own.exists() { own } else { path.into() })?)
    }

    /// A script that runs any command in it, with this environment besides.
    pub(super) fn script(&self, settings: &str, environment: &[(&str, String)]) -> String {
        let argv = self.command("", &[]).argv();
        let words = argv[..argv.len() - 1].iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        let own = [("NIX_REMOTE", "local".to_owned()), ("NIX_CONFIG", format!("{SETTINGS}{settings}"))];
        let set = |(name, value): &(&str, String)| format!("export {name}={}\n", quoted(value));
        let exports = own.iter().chain(environment).map(set).collect::<String>();
        format!(
            "#!/bin/sh\n# Runs a command with the store of the tests' NixOS system.\n{exports}exec {words} \"$@\"\n"
        )
    }

    /// A program of nix in it.
    fn command(&self, program: &str, arguments: &[&str]) -> Cmd {
        let lower = self.layer.as_ref().map(|layer| format!("{layer}:")).unwrap_or_default();
        let (upper, work) = (self.folder.join("upper"), self.folder.join("work"));
        Cmd::new("unshare")
            .args(["--mount", "--", "sh", "-c", SCRIPT, "sh", upper.as_str(), work.as_str(), &lower, program])
            .args(arguments.iter().copied())
            .env("NIX_REMOTE", "local")
            .env("NIX_CONFIG", SETTINGS)
            .log_file(&self.log)
    }

    /// Any program in it, with `nix` of a folder first on its search path.
    pub(super) fn enter(&self, program: &str, arguments: &[&str], settings: &str) -> Cmd {
        self.command(program, arguments).env("NIX_CONFIG", format!("{SETTINGS}{settings}"))
    }

    /// What it prints on stdout, which is tens of MB of a system's derivations.
    pub(super) fn nix(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let mut said = tempfile::tempfile_in(&self.folder)?;
        self.command(program, arguments).stdout_file(said.try_clone()?).run(&mut |_| ())?;
        said.rewind()?;
        Ok(io::read_to_string(said)?)
    }

    /// What nix prints on stdout in a folder, with further settings.
    pub(super) fn nix_in(
        &self,
        folder: &Utf8Path,
        settings: &str,
        arguments: &[&str],
    ) -> anyhow::Result<String> {
        let mut said = tempfile::tempfile_in(&self.folder)?;
        let command = self.enter("nix", arguments, settings).current_dir(folder);
        command.stdout_file(said.try_clone()?).run(&mut |_| ())?;
        said.rewind()?;
        Ok(io::read_to_string(said)?)
    }

    /// All that it prints.
    pub(super) fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let mut said = String::new();
        self.command(program, arguments).run(&mut |line| {
            said.push_str(line.text);
            said.push('\n');
        })?;
        Ok(said)
    }

    /// Registers paths that lie in it, each with what it refers to.
    pub(super) fn register(&self, paths: &[(String, Vec<String>)]) -> anyhow::Result<()> {
        let lines = paths.iter().flat_map(|(path, references)| {
            let head = [path.clone(), String::new(), references.len().to_string()];
            head.into_iter().chain(references.iter().cloned())
        });
        let text = lines.flat_map(|line| [line, "\n".into()]).collect::<String>();
        self.command("nix-store", &["--register-validity", "--reregister"])
            .stdin_bytes(text.into_bytes())
            .run(&mut |_| ())?;
        Ok(())
    }
}

/// A word of a shell's command line.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_has_the_store_and_passes_words_on() {
        let guard = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::try_from(guard.path().join("it's")).unwrap();
        let store = OwnStore::kept(&folder, Utf8Path::new("/layer"), &folder.join("log")).unwrap();
        let script = store.script("", &[("NAME", "a 'word'".into())]);
        let script = script.replace("exec 'unshare'", "printf '%s|' \"$NAME\"");
        let said = Cmd::new("sh").args(["-c", &script, "sh", "nix", "a b"]).output().unwrap().text();
        let words: Vec<&str> = said.trim_end_matches('|').split('|').collect();
        assert_eq!(words[..2], ["a 'word'", "--mount"], "{said}");
        assert_eq!(words[words.len() - 2..], ["nix", "a b"], "{said}");
        assert!(words.iter().any(|word| word.ends_with("it's/upper")), "{said}");
    }
}
