//! The error of an invalid identity.

use crate::error::Error;

pub(super) fn refused(why: &str) -> Error {
    Error::Refused { why: why.to_owned(), remedy: "this clone is being stopped".to_owned() }
}
