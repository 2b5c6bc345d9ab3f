//! `rave-guest tools`: checks the pinned tools. It only reads files, so it is quick and needs no network.

use crate::error::Error;
use rave_guest::assets::npm;
use rave_guest::config::GuestConfig;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

pub(crate) fn run(config: &GuestConfig) -> Result<(), Error> {
    let tools = Path::new(&config.tools);
    let mut problems = missing(tools, config);
    problems.extend(mend_links(tools, Path::new(npm::LINKS), config));
    let pins = npm::pinned_packages(config);
    for note in other_versions(tools, &pins) {
        println!("{note}");
    }
    if problems.is_empty() {
        println!("all {} tools are installed", pins.len());
        return Ok(());
    }
    Err(Error::Tools { problems })
}

/// Programs that are missing or cannot be run.
fn missing(tools: &Path, config: &GuestConfig) -> Vec<String> {
    let commands = npm::commands(config).into_iter().map(|command| command.program);
    let zipped = npm::ZIPPED.iter().map(|zipped| zipped.to);
    let mut programs: Vec<&str> = commands.chain(zipped).collect();
    programs.sort_unstable();
    programs.dedup();
    let problem = |program: &&str| {
        let path = tools.join(program);
        match fs::metadata(&path) {
            Err(error) => Some(format!("{}: {error}", path.display())),
            Ok(about) if about.permissions().mode() & 0o111 == 0 => Some(format!(
                "{}: not executable (mode {:o})",
                path.display(),
                about.permissions().mode() & 0o7777
            )),
            Ok(about) if about.len() == 0 => Some(format!("{}: empty", path.display())),
            Ok(_) => None,
        }
    };
    programs.iter().filter_map(problem).collect()
}

/// Packages in another version than the image was built with. The change was intended, so it is reported but not
/// refused.
fn other_versions(tools: &Path, pins: &[(String, String)]) -> Vec<String> {
    let note = |(name, pinned): &(String, String)| match version(tools, name) {
        Ok(found) if found == *pinned => None,
        Ok(found) => Some(format!("{name} is {found}; this image was built with {pinned}")),
        Err(error) => Some(format!("{name}: cannot read its version: {error}")),
    };
    pins.iter().filter_map(note).collect()
}

fn version(tools: &Path, package: &str) -> io::Result<String> {
    let text = fs::read_to_string(tools.join("node_modules").join(package).join("package.json"))?;
    let json: serde_json::Value = serde_json::from_str(&text)?;
    Ok(json["version"].as_str().unwrap_or("without a version").to_owned())
}

/// Creates links that are missing or dangling. Other links, or files, are the user's choice.
fn mend_links(tools: &Path, links: &Path, config: &GuestConfig) -> Vec<String> {
    if !links.is_dir() {
        return Vec::new(); // a base with its own search path needs no links
    }
    let mend = |command: &npm::Command| {
        let link = links.join(command.name);
        if link.exists() {
            return None;
        }
        let target = tools.join(command.program);
        let _ = fs::remove_file(&link);
        match symlink(&target, &link) {
            Ok(()) => {
                println!("{} points to {} again", link.display(), target.display());
                None
            }
            Err(error) => Some(format!("cannot link {} to {}: {error}", link.display(), target.display())),
        }
    };
    npm::commands(config).iter().filter_map(mend).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A folder with all tools.
    fn complete(scratch: &tempfile::TempDir) -> PathBuf {
        let tools = scratch.path().join("tools");
        let programs = npm::commands(&GuestConfig::default()).into_iter().map(|command| command.program);
        for program in programs.chain(npm::ZIPPED.iter().map(|zipped| zipped.to)) {
            let path = tools.join(program);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        for (name, version) in npm::pinned_packages(&GuestConfig::default()) {
            let folder = tools.join("node_modules").join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("package.json"), format!("{{\"version\":\"{version}\"}}")).unwrap();
        }
        tools
    }

    #[test]
    fn a_missing_or_unusable_program_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let tools = complete(&scratch);
        assert_eq!(missing(&tools, &GuestConfig::default()), Vec::<String>::new());
        fs::remove_file(tools.join("bin/vibe-kanban")).unwrap();
        let claude = tools.join("node_modules/@anthropic-ai/claude-code-linux-x64/claude");
        fs::set_permissions(&claude, fs::Permissions::from_mode(0o644)).unwrap();
        let problems = missing(&tools, &GuestConfig::default()).join("\n");
        assert!(problems.contains("bin/vibe-kanban: No such file"), "{problems}");
        assert!(problems.contains("claude: not executable (mode 644)"), "{problems}");
    }

    #[test]
    fn other_versions_are_reported() {
        let scratch = tempfile::tempdir().unwrap();
        let tools = complete(&scratch);
        assert_eq!(
            other_versions(&tools, &npm::pinned_packages(&GuestConfig::default())),
            Vec::<String>::new()
        );
        fs::write(tools.join("node_modules/pnpm/package.json"), "{\"version\":\"9.9.9\"}").unwrap();
        let notes = other_versions(&tools, &npm::pinned_packages(&GuestConfig::default()));
        assert!(notes.len() == 1 && notes[0].starts_with("pnpm is 9.9.9; "), "{notes:?}");
    }

    #[test]
    fn broken_links_are_repaired_and_user_links_are_kept() {
        let scratch = tempfile::tempdir().unwrap();
        let tools = complete(&scratch);
        let links = scratch.path().join("links");
        fs::create_dir(&links).unwrap();
        symlink("/nowhere", links.join("npm")).unwrap();
        symlink("/bin/sh", links.join("yarn")).unwrap();
        fs::write(links.join("ccr"), "mine").unwrap();
        assert_eq!(mend_links(&tools, &links, &GuestConfig::default()), Vec::<String>::new());
        assert_eq!(fs::read_link(links.join("npm")).unwrap(), tools.join("node_modules/npm/bin/npm-cli.js"));
        assert_eq!(fs::read_link(links.join("yarn")).unwrap(), Path::new("/bin/sh"));
        assert_eq!(fs::read_to_string(links.join("ccr")).unwrap(), "mine");
        assert_eq!(fs::read_dir(&links).unwrap().count(), npm::commands(&GuestConfig::default()).len());
    }
}
