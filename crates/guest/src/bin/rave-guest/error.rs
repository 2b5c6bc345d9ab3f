//! Errors in the guest, worded for the journal.

use std::fmt;
use std::io;

/// Linux's ENOSPC, errno(3).
const NO_SPACE: i32 = 28;
/// Linux's EROFS, errno(3).
const READ_ONLY: i32 = 30;

#[derive(Debug)]
pub(crate) enum Error {
    /// A file operation failed.
    File { doing: &'static str, path: String, source: io::Error },
    /// `guest.json` was changed since the image wrote it.
    Configuration { path: &'static str, source: serde_json::Error },
    /// No such user in `/etc/passwd`.
    NoUser { user: String },
    /// Tools of the image are missing.
    Tools { problems: Vec<String> },
    /// A program failed, could not be started, or took too long.
    Program { command: String, what: String, output: String },
    /// A request was refused: why, and what to do instead.
    Refused { why: String, remedy: String },
    /// Files could not be sent to the host, or received from it.
    Tree(io::Error),
    /// Standard input is not a listening socket.
    NoSocket { source: io::Error },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { doing, path, source } => {
                write!(f, "cannot {doing} {path}: {source}")?;
                match source.raw_os_error() {
                    Some(NO_SPACE) => f.write_str(
                        "\nthe machine's disk is full: `df -h` and `sudo du -xh -d2 / | sort -h | tail` show where it went; \
                         a larger disk grows at the next boot",
                    ),
                    Some(READ_ONLY) => f.write_str(
                        "\nthe filesystem is read-only, often after an error on the disk: `sudo dmesg | grep -i ext4` shows why",
                    ),
                    _ => Ok(()),
                }
            }
            Self::Configuration { path, source } => {
                write!(
                    f,
                    "{path} is not valid: {source}\nit is written when the image is built; rebuild the image"
                )
            }
            Self::NoUser { user } => {
                write!(f, "there is no user {user} in /etc/passwd\n`sudo useradd -m {user}` creates it")
            }
            Self::Tools { problems } => write!(
                f,
                "tools of the image are missing:\n  {}\nthey are installed when the image is built; rebuild the image",
                problems.join("\n  ")
            ),
            Self::Program { command, what, output } => {
                write!(f, "`{command}` {what}")?;
                if output.is_empty() { Ok(()) } else { write!(f, "; it printed:\n{output}") }
            }
            Self::Refused { why, remedy } => write!(f, "{why}\n{remedy}"),
            Self::Tree(source) => write!(f, "{source}"),
            Self::NoSocket { source } => {
                write!(
                    f,
                    "standard input is not a listening unix socket: {source}\nstart rave-health.socket instead"
                )
            }
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named() {
        let source = io::Error::from_raw_os_error(NO_SPACE);
        let error = Error::File { doing: "write", path: "/home/agent/.npmrc".into(), source };
        let text = error.to_string();
        assert!(text.contains("/home/agent/.npmrc") && text.contains("the machine's disk is full"), "{text}");
    }
}
