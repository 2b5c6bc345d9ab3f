//! The npm tools: their lock, their links, and the files that a linux-x64 guest does not need.

use super::render::Template;
use super::{GuestFile, Paths};
use crate::config::GuestConfig;
use crate::features::PLAYWRIGHT;

/// `package.json` for `npm ci --ignore-scripts --omit=dev --os=linux --cpu=x64 --libc=glibc`.
pub const PACKAGE_JSON: &str = include_str!("../../assets/npm/package.json");

/// Its `package-lock.json`: every package has an integrity hash, and none has a download URL.
pub const PACKAGE_LOCK: &str = include_str!("../../assets/npm/package-lock.json");

/// A program in a zip inside a package, which is unpacked at build time with mode 0755.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zipped {
    /// The path of the zip, relative to the tools' folder.
    pub zip: &'static str,
    /// The only member, which is deflated.
    pub member: &'static str,
    /// The path of the unpacked program, relative to the tools' folder.
    pub to: &'static str,
}

/// The programs to unpack before pruning. Unpacking takes 19 MB to 49 MB, and 7 MB to 18 MB.
pub const ZIPPED: [Zipped; 2] = [
    Zipped {
        zip: "node_modules/vibe-kanban/dist/linux-x64/vibe-kanban.zip",
        member: "vibe-kanban",
        to: "bin/vibe-kanban",
    },
    Zipped {
        zip: "node_modules/vibe-kanban/dist/linux-x64/vibe-kanban-mcp.zip",
        member: "vibe-kanban-mcp",
        to: "bin/vibe-kanban-mcp",
    },
];

/// What can be deleted from the tools' folder once [`ZIPPED`] is unpacked: a folder with its content, a file, or with a
/// leading `*` every file whose path ends like this. It saves 142 of 422 MB, of which 138 are zips.
pub const PRUNE: [&str; 12] = [
    // Servers for six platforms, as zips; ours is unpacked.
    "node_modules/vibe-kanban/dist",
    // Only for Windows and macOS.
    "*.darwin-arm64-2HJ4WGO6.node",
    "*.darwin-x64-3G3H6IW4.node",
    "*.win32-arm64-msvc-Q6BARPPB.node",
    "*.win32-x64-msvc-J2TZHRQI.node",
    // The other libc; npm installs both on a host whose libc it cannot determine.
    "node_modules/@anthropic-ai/claude-code-linux-x64-musl",
    // Documentation.
    "node_modules/npm/docs",
    "node_modules/npm/man",
    "node_modules/@musistudio/claude-code-router/README_zh.md",
    // For debuggers and TypeScript.
    "*.js.map",
    "*.d.ts",
    "*.d.ts.map",
];

/// Whether [`PRUNE`] covers `path`, which is relative to the tools' folder.
pub fn is_dead_weight(path: &str) -> bool {
    PRUNE.iter().any(|pattern| match pattern.strip_prefix('*') {
        Some(ending) => path.ends_with(ending),
        None => path.strip_prefix(pattern).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
    })
}

/// One command of the tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Command {
    /// Its name in `/usr/local/bin`.
    pub name: &'static str,
    /// The program, relative to the tools' folder.
    pub program: &'static str,
}

/// The folder of the commands' links.
pub const LINKS: &str = "/usr/local/bin";

/// The commands. `claude` is the package's native program for linux-x64: the `bin` of the package is a stub that its
/// install script would replace, and scripts are not run.
pub const COMMANDS: [Command; 10] = [
    Command { name: "claude", program: "node_modules/@anthropic-ai/claude-code-linux-x64/claude" },
    Command { name: "ccr", program: "bin/ccr" },
    Command { name: "vibe-kanban", program: "bin/vibe-kanban" },
    Command { name: "npm", program: "node_modules/npm/bin/npm-cli.js" },
    Command { name: "npx", program: "node_modules/npm/bin/npx-cli.js" },
    Command { name: "pnpm", program: "node_modules/pnpm/bin/pnpm.cjs" },
    Command { name: "pnpx", program: "node_modules/pnpm/bin/pnpx.cjs" },
    Command { name: "yarn", program: "node_modules/yarn/bin/yarn.js" },
    Command { name: "yarnpkg", program: "node_modules/yarn/bin/yarn.js" },
    Command { name: "playwright", program: "node_modules/playwright/cli.js" },
];

/// Packages that are missing in a guest that installs Claude Code itself: the pinned one, and the one with the program
/// for linux-x64.
pub const CLAUDE_PACKAGES: [&str; 2] = ["@anthropic-ai/claude-code", "@anthropic-ai/claude-code-linux-x64"];

/// The launcher in its place, relative to the tools' folder.
pub const CLAUDE_LAUNCHER: &str = "bin/claude";

/// Packages that only guests with a feature have: the feature and the package.
pub const OF_FEATURES: [(&str, &str); 2] = [(PLAYWRIGHT, "playwright"), (PLAYWRIGHT, "playwright-core")];

/// The packages of the lock that a guest does not have.
pub fn left_out(config: &GuestConfig) -> Vec<&'static str> {
    let of_features =
        OF_FEATURES.iter().filter(|(feature, _)| !config.has(feature)).map(|(_, package)| *package);
    let claude = CLAUDE_PACKAGES.into_iter().filter(|_| config.claude_at_first_boot);
    of_features.chain(claude).collect()
}

/// The commands of a guest.
pub fn commands(config: &GuestConfig) -> Vec<Command> {
    let left_out: Vec<String> =
        left_out(config).iter().map(|package| format!("node_modules/{package}/")).collect();
    let held = |command: &Command| !left_out.iter().any(|folder| command.program.starts_with(folder));
    let command = |command: Command| match command.name {
        "claude" if config.claude_at_first_boot => Command { program: CLAUDE_LAUNCHER, ..command },
        _ => command,
    };
    COMMANDS.iter().copied().map(command).filter(held).collect()
}

/// The router's command. Its version 2.0.0 accepts `-v` and `version`, but rejects `--version`.
const CCR: &str = include_str!("../../assets/npm/ccr");

pub(super) fn files(template: &Template, config: &GuestConfig, paths: &Paths) -> Vec<GuestFile> {
    let mut files = links(config, paths);
    files.push(GuestFile::file(format!("{}/bin/ccr", paths.tools), 0o755, template.fill(CCR)));
    files
}

fn links(config: &GuestConfig, paths: &Paths) -> Vec<GuestFile> {
    let link = |command: &Command| {
        GuestFile::symlink(
            format!("{LINKS}/{}", command.name),
            format!("{}/{}", paths.tools, command.program),
        )
    };
    commands(config).iter().map(link).collect()
}

/// The pinned packages of a guest, name and exact version, sorted by name.
pub fn pinned_packages(config: &GuestConfig) -> Vec<(String, String)> {
    let left_out = left_out(config);
    pins().into_iter().filter(|(name, _)| !left_out.contains(&name.as_str())).collect()
}

/// The pinned packages of all guests, name and exact version, sorted by name.
#[expect(clippy::missing_panics_doc, reason = "the file is committed, and a test reads it")]
pub fn pins() -> Vec<(String, String)> {
    let package: serde_json::Value = serde_json::from_str(PACKAGE_JSON).expect("the committed file is JSON");
    let pins = package["dependencies"].as_object().expect("the committed file has dependencies");
    pins.iter()
        .map(|(name, version)| (name.clone(), version.as_str().unwrap_or_default().to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_has_no_registry_url_and_covers_every_package() {
        let lock: serde_json::Value = serde_json::from_str(PACKAGE_LOCK).unwrap();
        assert_eq!(lock["lockfileVersion"], 3);
        let packages = lock["packages"].as_object().unwrap();
        for (path, package) in packages.iter().filter(|(path, _)| !path.is_empty()) {
            assert!(package.get("resolved").is_none(), "{path} names where it was fetched from");
            // The hash of the outer package's archive covers a bundled package.
            let covered = package["inBundle"] == true
                || package["integrity"].as_str().is_some_and(|hash| hash.starts_with("sha512-"));
            assert!(covered, "{path} has no integrity hash");
        }
        assert!(!PACKAGE_LOCK.contains("://registry") && !PACKAGE_LOCK.contains(".tgz"));
        assert!(!PACKAGE_JSON.contains("http"));
    }

    #[test]
    fn the_lock_has_the_pinned_versions() {
        let lock: serde_json::Value = serde_json::from_str(PACKAGE_LOCK).unwrap();
        for (name, version) in pins() {
            assert!(
                version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'),
                "{name} is not pinned"
            );
            assert_eq!(lock["packages"][format!("node_modules/{name}")]["version"], version.as_str());
        }
    }

    #[test]
    fn pruning_removes_no_command_and_no_zip_target() {
        for command in COMMANDS {
            assert!(!is_dead_weight(command.program), "{}", command.name);
        }
        for zipped in ZIPPED {
            assert!(is_dead_weight(zipped.zip) && !is_dead_weight(zipped.to));
        }
        assert!(!is_dead_weight("node_modules/vibe-kanban/package.json"));
        assert!(!is_dead_weight("node_modules/vibe-kanban/distant"));
    }

    #[test]
    fn only_a_guest_with_the_feature_has_its_packages_and_commands() {
        let without = GuestConfig::default();
        let with = GuestConfig { features: [PLAYWRIGHT.to_owned()].into(), ..GuestConfig::default() };
        assert_eq!(left_out(&without), ["playwright", "playwright-core"]);
        assert!(left_out(&with).is_empty());
        let has = |config| commands(config).iter().any(|command| command.name == "playwright");
        assert!(has(&with) && !has(&without));
        assert_eq!(
            (pinned_packages(&with).len(), pinned_packages(&without).len()),
            (pins().len(), pins().len() - 1)
        );
    }

    #[test]
    fn a_guest_that_installs_claude_code_has_only_the_launcher() {
        let config = GuestConfig { claude_at_first_boot: true, ..GuestConfig::default() };
        assert!(CLAUDE_PACKAGES.iter().all(|package| left_out(&config).contains(package)));
        let program =
            |config| commands(config).into_iter().find(|command| command.name == "claude").unwrap().program;
        assert_eq!(program(&config), CLAUDE_LAUNCHER);
        assert_eq!(program(&GuestConfig::default()), COMMANDS[0].program);
        assert!(
            !pinned_packages(&config)
                .iter()
                .any(|(name, _)| name.contains("claude-code") && !name.contains("router"))
        );
    }
}
