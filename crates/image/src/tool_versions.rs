//! Versions of the host's programs, as they print them.

use rave_process::{Cmd, Stream};

use crate::manifest::BuildTool;

/// Programs that write an image's bytes, with the argument that prints their version.
const PROGRAMS: &[(&str, &str)] = &[
    ("mmdebstrap", "--version"),
    ("mke2fs", "-V"),
    ("sfdisk", "--version"),
    ("mkfs.vfat", "--help"),
    ("mcopy", "--version"),
    ("grub-mkimage", "--version"),
    ("qemu-img", "--version"),
    ("zstd", "--version"),
    ("mksquashfs", "-version"),
    ("xorriso", "-version"),
    ("npm", "--version"),
    ("rustc", "--version"),
];

/// The version of each program.
pub fn build_tools() -> Vec<BuildTool> {
    PROGRAMS
        .iter()
        .filter_map(|(name, argument)| {
            Some(BuildTool { name: (*name).into(), version: version(name, argument)? })
        })
        .collect()
}

/// The version line of a program; none if it is not installed.
pub fn of(program: &str) -> Option<String> {
    let (name, argument) = PROGRAMS.iter().find(|(name, _)| *name == program)?;
    version(name, argument)
}

fn version(program: &str, argument: &str) -> Option<String> {
    let (mut said, mut complained) = (Vec::new(), Vec::new());
    // Some print it on stderr, some on both streams in any order, some fail because they were given no work.
    let _ = Cmd::new(program).arg(argument).run(&mut |line| match line.stream {
        Stream::Stdout => said.push(line.text.trim().to_owned()),
        Stream::Stderr => complained.push(line.text.trim().to_owned()),
    });
    said.into_iter().chain(complained).find(|line| !line.is_empty())
}
