//! Retries of operations that failed because the host was busy.

use std::time::{Duration, Instant};

use crate::error::Error;

/// The maximum number of attempts.
const MOST: u32 = 3;
/// How long after the first attempt another may begin.
const WITHIN: Duration = Duration::from_secs(240);

/// Retries until the operation succeeds, is refused, or there is no point in trying again. `may` can forbid retries.
pub(super) fn retry<T>(
    may: impl Fn() -> bool,
    mut attempt: impl FnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    let until = Instant::now() + WITHIN;
    let mut left = MOST;
    loop {
        left -= 1;
        match attempt() {
            Err(error) if error.is_transient() && left > 0 && Instant::now() < until && may() => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    fn fails(kind: ErrorKind, times: u32, may: bool) -> (u32, bool) {
        let mut tried = 0;
        let done = retry(
            || may,
            || {
                tried += 1;
                if tried > times { Ok(()) } else { Err(Error::io("talk to", "/guest", kind.into())) }
            },
        );
        (tried, done.is_ok())
    }

    #[test]
    fn timeouts_are_retried_and_refusals_are_not() {
        assert_eq!(fails(ErrorKind::TimedOut, 2, true), (3, true));
        assert_eq!(fails(ErrorKind::UnexpectedEof, 9, true), (3, false));
        assert_eq!(fails(ErrorKind::TimedOut, 1, false), (1, false));
        assert_eq!(fails(ErrorKind::Other, 1, true), (1, false));
    }
}
