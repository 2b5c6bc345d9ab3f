//! What can go wrong with `nix`.

use camino::{Utf8Path, Utf8PathBuf};
use rave_spec::Format;

use super::build_failure::{FailedBuild, FailureCollector};
use super::version::{NixVersion, OLDEST};

/// How to get nix, in one line.
pub const HOW_TO_GET_NIX: &str =
    "install Nix by your distribution's package (nix-bin, nix) or as nixos.org/download says";

/// An error of this base.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nix is not installed.
    #[error("nix was not found")]
    Missing,
    /// It is older than the flake and this driver support.
    #[error("nix {found} is too old: {OLDEST} or newer is needed")]
    TooOld {
        /// The installed version.
        found: NixVersion,
    },
    /// Its settings do not allow flakes.
    #[error("flakes are disabled in nix")]
    FlakesOff,
    /// It is installed but does not work.
    #[error("nix does not work here: {reason}")]
    Unusable {
        /// The first line of its error.
        reason: String,
        /// Its other lines.
        more: Vec<String>,
    },
    /// A derivation could not be built.
    #[error("nix: {reason}")]
    Derivation {
        /// The derivation.
        drv: String,
        /// Nix's own message.
        reason: String,
        /// The last lines that the derivation's builder printed.
        lines: Vec<String>,
        /// The log of the whole run.
        log: Utf8PathBuf,
    },
    /// The flake could not be evaluated.
    #[error("the flake does not evaluate: {reason}")]
    Evaluation {
        /// The first line of the error.
        reason: String,
        /// The rest of it, and where in this project it comes from.
        more: Vec<String>,
        /// The log with the whole trace.
        log: Utf8PathBuf,
    },
    /// Any other failure of nix: a download, a remote builder, its store.
    #[error("nix failed: {reason}")]
    Failed {
        /// The first line of its error.
        reason: String,
        /// Its other messages.
        more: Vec<String>,
        /// The log of the whole run.
        log: Utf8PathBuf,
    },
    /// Nix returned unexpected output.
    #[error("{command} gave an answer that cannot be read: {detail}")]
    Answer {
        /// The command.
        command: String,
        /// What is wrong.
        detail: String,
    },
    /// The build does not contain the expected file.
    #[error("{out_path} contains no {format}: {wanted} is missing")]
    Incomplete {
        /// The format.
        format: Format,
        /// Where it should be.
        out_path: String,
        /// The file.
        wanted: String,
    },
    /// The store's files are not at its paths (`local?root=`, or a remote store).
    #[error("{out_path} was built, but is not on this machine under that path")]
    Elsewhere {
        /// Where it should be.
        out_path: String,
    },
}

impl Error {
    /// The error of a failed run of nix.
    pub(super) fn of_run(
        failure: &FailureCollector,
        evaluated: bool,
        here: &Checkout<'_>,
        log: &Utf8Path,
    ) -> Self {
        let log = log.to_owned();
        if let Some(FailedBuild { drv, reason, lines }) = failure.failed_build() {
            return Self::Derivation { drv, reason, lines, log };
        }
        // The last error is the one that nix ended with, the first ones led to it.
        let shown = match failure.errors().last() {
            Some(last) => last.clone(),
            None => failure.messages().join("\n"),
        };
        let (reason, more) = here.trimmed(&shown);
        if evaluated || failure.errors().is_empty() {
            return Self::Failed { reason, more, log };
        }
        Self::Evaluation { reason, more, log }
    }

    /// Details besides the headline, for people.
    pub fn facts(&self) -> Vec<String> {
        let of_log = |log: &Utf8PathBuf| format!("all of it: {log}");
        match self {
            Self::Derivation { drv, lines, log, .. } => {
                let mut facts = Vec::new();
                if lines.is_empty() {
                    facts.push("it printed nothing".to_owned());
                } else {
                    facts.push("its last lines:".to_owned());
                    facts.extend(lines.iter().map(|line| format!("  {line}")));
                }
                facts.push(format!("its whole log: nix log {drv}"));
                facts.push(of_log(log));
                facts
            }
            Self::Evaluation { more, log, .. } | Self::Failed { more, log, .. } => {
                more.iter().cloned().chain([of_log(log)]).collect()
            }
            Self::Unusable { more, .. } => more.clone(),
            _ => Vec::new(),
        }
    }

    /// What the user can do about it, if anything is known.
    pub fn remedy(&self) -> Option<String> {
        let text = match self {
            Self::Missing => format!("{HOW_TO_GET_NIX}; or give --base debian"),
            Self::TooOld { .. } => "upgrade it (`nix upgrade-nix`, or your distribution's newer package); or give --base debian".into(),
            Self::FlakesOff => "put this line into ~/.config/nix/nix.conf or /etc/nix/nix.conf: experimental-features = nix-command flakes".into(),
            Self::Elsewhere { .. } => "let nix use a store whose paths are real (unset NIX_REMOTE and nix.conf's `store`), or give --base debian".into(),
            _ => return self.of_words(),
        };
        Some(text)
    }

    /// The remedy suggested by nix's own message.
    fn of_words(&self) -> Option<String> {
        let shown = format!("{self}\n{}", self.facts().join("\n"));
        let text = if shown.contains("No space left on device") {
            "the disk is full: free some space (`nix store gc` removes what nothing needs), then run the same command again; what was built is kept"
        } else if shown.contains("kvm") && shown.contains("required to build") {
            "let nix use KVM (`system-features = kvm` in nix.conf, and /dev/kvm for its builders), or build elsewhere with --builder"
        } else if shown.contains("some outputs of") && shown.contains("checking is not possible") {
            "--rebuild compares with what is there: build it once without"
        } else if shown.contains("does not provide attribute") {
            "the flake sees only files that git knows: `git add` new ones"
        } else if ["unable to download", "Could not resolve", "Couldn't resolve", "cannot connect to"]
            .iter()
            .any(|sign| shown.contains(sign))
        {
            "check the network, then run the same command again; what was fetched and built is kept"
        } else {
            return None;
        };
        Some(text.to_owned())
    }
}

/// How many lines of an error are shown at most; the log has all of them.
const MOST_LINES: usize = 40;

/// The project as it appears in traces.
pub(super) struct Checkout<'a> {
    /// The checkout.
    pub(super) root: &'a Utf8Path,
    /// Its copy in the store, if known.
    pub(super) source: Option<String>,
}

impl Checkout<'_> {
    /// An evaluation error reduced to what concerns this project: its first line, then its further lines and the places
    /// of this project in the trace.
    fn trimmed(&self, text: &str) -> (String, Vec<String>) {
        let lines: Vec<&str> = text.lines().collect();
        // The trace goes from outside in, and the error itself comes last.
        let start = lines.iter().rposition(|line| line.trim_start().starts_with("error:")).unwrap_or(0);
        let relative = |line: &str| self.relative(line.trim());
        let mut shown = lines[start..].iter().map(|line| relative(line)).filter(|line| !line.is_empty());
        let first = shown.next().unwrap_or_default();
        let mut reason = first.strip_prefix("error:").unwrap_or(&first).trim().to_owned();
        if reason.is_empty() {
            reason = shown.next().unwrap_or_else(|| "nix gives no reason".to_owned());
        }
        let mut more: Vec<String> = shown.take(MOST_LINES).collect();
        let mut places: Vec<String> = lines[..start].iter().filter_map(|line| self.place(line)).collect();
        // The innermost are the nearest to the cause.
        places.reverse();
        let mut seen = std::collections::BTreeSet::new();
        places.retain(|place| seen.insert(place.clone()));
        more.extend(places.into_iter().take(MOST_PLACES).map(|place| format!("from {place}")));
        (reason, more)
    }

    /// The place in this project named by a line of a trace, such as `nix/settings.nix:39:3`.
    fn place(&self, line: &str) -> Option<String> {
        let place = line.trim().strip_prefix("at ")?.trim_end_matches(':');
        let relative = self.relative(place);
        (relative != place && !relative.starts_with('/')).then_some(relative)
    }

    /// `text` with store paths of this project's files replaced by their paths in the checkout.
    fn relative(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if let Some(source) = &self.source {
            text = text.replace(&format!("{source}/"), "");
        }
        text.replace(&format!("{}/", self.root), "")
    }
}

/// How many places in the project are reported at most.
const MOST_PLACES: usize = 8;

#[cfg(test)]
mod tests {
    use super::super::events::{Level, NixEvent};
    use super::*;

    const SOURCE: &str = "/nix/store/k6w40gs4gnhvbj3bq1f59f78ij90ymnp-source";

    fn of(text: &str, evaluated: bool) -> Error {
        let mut failure = FailureCollector::default();
        failure.take(&NixEvent::Message { level: Level::Error, text: text.into() });
        let here = Checkout { root: "/home/me/rave".into(), source: Some(SOURCE.into()) };
        Error::of_run(&failure, evaluated, &here, "/state/nix.log".into())
    }

    #[test]
    fn evaluation_errors_point_to_this_project() {
        let trace = format!(
            "error:\n       … while calling the 'throw' builtin\n         at {SOURCE}/nix/settings.nix:41:3:\n           40| else\n\n       … while evaluating the option `system.build'\n         at /nix/store/other-source/lib/modules.nix:1084:9:\n\n       … while x\n         at {SOURCE}/flake.nix:7:5:\n\n       error: the configuration is wrong\n       rave.toml: vm.memory is missing"
        );
        let error = of(&trace, false);
        assert_eq!(error.to_string(), "the flake does not evaluate: the configuration is wrong");
        assert_eq!(
            error.facts(),
            [
                "rave.toml: vm.memory is missing",
                "from flake.nix:7:5",
                "from nix/settings.nix:41:3",
                "all of it: /state/nix.log"
            ]
        );
    }

    #[test]
    fn an_error_without_a_trace_is_shown_unchanged() {
        let error =
            of("error: flake 'git+file:///x' does not provide attribute 'packages.x86_64-linux.nope'", false);
        assert!(
            error.to_string().ends_with("does not provide attribute 'packages.x86_64-linux.nope'"),
            "{error}"
        );
        assert!(error.remedy().unwrap().contains("git add"));
        let error = of("error: unable to download 'x': Couldn't resolve host name (6)", true);
        assert_eq!(error.to_string(), "nix failed: unable to download 'x': Couldn't resolve host name (6)");
        assert!(error.remedy().unwrap().starts_with("check the network"));
        let error = of(
            "error:\n       … while fetching the input\n\n       error: unable to download 'x': HTTP error 500",
            true,
        );
        assert_eq!(error.to_string(), "nix failed: unable to download 'x': HTTP error 500");
    }

    #[test]
    fn a_plain_message_of_nix_is_quoted() {
        let mut failure = FailureCollector::default();
        failure.take(&NixEvent::Message { level: Level::Info, text: "Segmentation fault".into() });
        let here = Checkout { root: "/x".into(), source: None };
        let error = Error::of_run(&failure, false, &here, "/log".into());
        assert_eq!(error.to_string(), "nix failed: Segmentation fault");
    }
}
