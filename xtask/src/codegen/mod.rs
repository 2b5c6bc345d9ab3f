//! Files of the repository that are generated from the code, so that nothing is written twice.

mod cli;
mod facts;
mod generated;

pub(crate) use generated::{Generated, outdated, report, write};

/// The command that updates every generated file.
pub(crate) const COMMAND: &str = "cargo xtask codegen";

/// Every generated file. A new one is an entry here; the command and the test follow.
pub(crate) fn all() -> Vec<Generated> {
    vec![cli::generate(), facts::generate()]
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::*;

    fn checkout() -> &'static Utf8Path {
        Utf8Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
    }

    #[test]
    fn generated_files_are_up_to_date() {
        let outdated = outdated(all(), checkout()).unwrap();
        assert!(
            outdated.is_empty(),
            "generated files are out of date; run `{COMMAND}`\n{}",
            report(&outdated).join("\n")
        );
    }

    #[test]
    fn every_file_ends_with_a_newline_and_is_generated_once() {
        let files = all();
        for file in &files {
            assert!(file.text.ends_with('\n') && !file.text.ends_with("\n\n"), "{}", file.path);
            let same = files.iter().filter(|other| other.path == file.path);
            assert_eq!(same.count(), 1, "{}", file.path);
        }
        assert_eq!(files, all(), "two runs give the same texts");
    }
}
