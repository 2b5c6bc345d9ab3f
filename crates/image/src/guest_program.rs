//! `rave-guest`, compiled from the checkout as a static program that runs in any guest.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;
use rave_process::progress::Event;

use crate::bases::debian::NetworkAccess;
use crate::digest::{Digest, Hasher};
use crate::error::{Error, IoContext as _, StageContext as _};
use crate::stage_runner::StageRunner;
use crate::tool::tool;

/// The name of this stage.
pub const STAGE: &str = "guest";

/// The program's path in the guest.
pub const PLACE: &str = "/usr/lib/rave/rave-guest";

/// The profile in the workspace's Cargo.toml.
const PROFILE: &str = "guest";

const PROGRAM: &str = "rave-guest";

/// The gnu target, because few toolchains include the musl one. Naming it keeps the flags away from build scripts.
const TARGET: &str = "x86_64-unknown-linux-gnu";

const STATIC: &str = "-Ctarget-feature=+crt-static";

/// Names that replace the folders of the checkout, and of the crates that the program uses, in the program.
const SOURCES_NAME: &str = "rave";
const CRATES_NAME: &str = "crates";

/// The sources: what the program is compiled from, relative to the checkout.
const SOURCES: &[&str] = &["Cargo.toml", "Cargo.lock", "crates/guest"];

/// The program's sources, read once.
#[derive(Debug, Clone)]
pub struct GuestSources {
    root: Utf8PathBuf,
    digest: Digest,
}

impl GuestSources {
    /// Reads the sources of the checkout at `root`.
    pub fn read(root: &Utf8Path) -> Result<Self, Error> {
        let mut hasher = Hasher::default();
        for source in SOURCES {
            add(&mut hasher, root, &root.join(source))?;
        }
        // Without the paths, which do not appear in the program.
        for argument in [STATIC, SOURCES_NAME, CRATES_NAME] {
            hasher.field("flag", argument.as_bytes());
        }
        Ok(Self { root: root.to_owned(), digest: hasher.finish() })
    }

    /// Changes with any source.
    pub fn key(&self) -> Digest {
        self.digest
    }

    /// Where Cargo unpacks crates: a folder for each registry, named after its host (Cargo's book, "Cargo Home"). They
    /// exist after a fetch, which needs no network for crates that were compiled before.
    fn crates(&self, cargo: Cmd, network: NetworkAccess) -> Result<Vec<Utf8PathBuf>, Error> {
        let fetch = cargo.args(["fetch", "--quiet", "--locked", "--target", TARGET]);
        let fetch = if network == NetworkAccess::Off { fetch.arg("--offline") } else { fetch };
        fetch.current_dir(&self.root).output().stage(STAGE)?;
        let home = std::env::var("CARGO_HOME").map(Utf8PathBuf::from).or_else(|_| {
            let home = std::env::home_dir().and_then(|home| Utf8PathBuf::from_path_buf(home).ok());
            home.map(|home| home.join(".cargo")).ok_or_else(|| Error::Input {
                what: "the home directory".into(),
                detail: "it is not known, and so is Cargo's folder: set CARGO_HOME".into(),
            })
        })?;
        let sources = home.join("registry/src");
        let entries = sources.read_dir_utf8().at("list", &sources)?;
        let mut folders = entries
            .map(|entry| entry.map(|entry| entry.path().to_owned()))
            .collect::<std::io::Result<Vec<_>>>()
            .at("list", &sources)?;
        folders.sort();
        Ok(folders)
    }

    /// Compiles the program, or takes it from the cache; returns its path on the host.
    pub(crate) fn build(
        &self,
        stages: &StageRunner<'_>,
        network: NetworkAccess,
    ) -> Result<Utf8PathBuf, Error> {
        let entry = stages.run(STAGE, &self.key(), |pending| {
            let target_dir = stages.cache_dir().join("cargo");
            let argv = argv(&target_dir, network);
            let scratch = stages.scratch(0)?;
            let authorities = stages.authorities(scratch.path())?;
            let cargo = stages.network().for_openssl(tool(&argv[0]), authorities.as_deref());
            let crates = self.crates(cargo.clone(), network)?;
            cargo
                .args(&argv[1..])
                .current_dir(&self.root)
                // Flags are separated by the unit separator, so that a path may contain spaces (Cargo's reference,
                // "Environment variables Cargo reads").
                .env("CARGO_ENCODED_RUSTFLAGS", flags(&self.root, &crates).join("\x1f"))
                .log_file(stages.log(STAGE))
                .run(&mut |line| stages.report(Event::StageOutput { stage: STAGE, line: line.text }))
                .stage(STAGE)?;
            let built = target_dir.join(TARGET).join(PROFILE).join(PROGRAM);
            let place = pending.file(PROGRAM);
            fs::copy(&built, &place).at("copy", &built).map(drop)
        })?;
        Ok(entry.file(PROGRAM))
    }
}

/// The command line; the compiler is the one that runs this program.
pub fn argv(target_dir: &Utf8Path, network: NetworkAccess) -> Vec<String> {
    let cargo = cargo();
    let fixed = [
        "build",
        "--profile",
        PROFILE,
        "--locked",
        "--package",
        "rave-guest",
        "--bin",
        PROGRAM,
        "--target",
        TARGET,
    ];
    let offline: &[&str] = if network == NetworkAccess::Off { &["--offline"] } else { &[] };
    let arguments = fixed.iter().chain(offline).map(ToString::to_string);
    [cargo].into_iter().chain(arguments).chain([format!("--target-dir={target_dir}")]).collect()
}

fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

/// Keeps the builder's folders out of the program's panic messages: source paths start with these names instead.
fn flags(root: &Utf8Path, crates: &[Utf8PathBuf]) -> Vec<String> {
    let remap = |from: &Utf8Path, to| format!("--remap-path-prefix={from}={to}");
    let crates = crates.iter().map(|folder| remap(folder, CRATES_NAME));
    [STATIC.to_owned(), remap(root, SOURCES_NAME)].into_iter().chain(crates).collect()
}

fn add(hasher: &mut Hasher, root: &Utf8Path, path: &Utf8Path) -> Result<(), Error> {
    if path.is_dir() {
        let mut names: Vec<Utf8PathBuf> = path
            .read_dir_utf8()
            .at("list", path)?
            .map(|entry| entry.map(|entry| entry.path().to_owned()))
            .collect::<std::io::Result<_>>()
            .at("list", path)?;
        names.sort();
        return names.iter().try_for_each(|name| add(hasher, root, name));
    }
    let below = path.strip_prefix(root).unwrap_or(path);
    hasher.field(below.as_str(), &fs::read(path).at("read", path)?);
    Ok(())
}
