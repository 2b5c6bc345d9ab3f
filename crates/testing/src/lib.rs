//! Reports that this host cannot run a test: libtest only knows passed and failed, so the test passes, and
//! `cargo xtask test` lists its reason from stderr under "not run on this host".

#[cfg(feature = "parsers")]
pub mod parsers;
#[cfg(feature = "tls")]
pub mod tls;

use std::fmt::Display;

/// The prefix of the line on stderr.
pub const NOT_RUN: &str = "NOT RUN: ";

/// Reports that the test on this thread, or a part of it, is not run, and why.
pub fn not_run(reason: impl Display) {
    // libtest names each test's thread by the path of the test.
    let thread = std::thread::current();
    let path = thread.name().unwrap_or("a test");
    eprintln!("{NOT_RUN}{}: {reason}", path.rsplit("::").next().unwrap_or(path));
}

/// Ends the test with the reason why this host cannot run it.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)+) => {{
        $crate::not_run(::std::format_args!($($reason)+));
        return;
    }};
}

/// Unwraps a `Result`, or ends the test with its error as the reason.
#[macro_export]
macro_rules! or_skip {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(reason) => $crate::skip!("{reason}"),
        }
    };
}
