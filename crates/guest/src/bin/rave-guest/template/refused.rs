//! An identity that is none.

use crate::error::Error;

pub(super) fn refused(why: &str) -> Error {
    Error::Refused { why: why.to_owned(), remedy: "this clone is ended".to_owned() }
}
