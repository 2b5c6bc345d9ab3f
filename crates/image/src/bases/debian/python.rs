//! Python while the system is unpacked: packages compile their modules by the guest's own interpreter, which heeds the
//! builder's variables. Bytecode that it writes by itself has times in it; that of the packages' scripts has digests, where
//! `SOURCE_DATE_EPOCH` is set (`py_compile`), but they leave alone what is there. So it writes none by itself.

use std::env;
use std::ffi::OsString;

/// Set, no import writes bytecode (python(1)).
pub(super) const NO_BYTECODE: &str = "PYTHONDONTWRITEBYTECODE";

/// The builder's own variables of Python.
pub(super) fn variables() -> impl Iterator<Item = OsString> {
    of(env::vars_os().map(|(name, _)| name))
}

fn of(names: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    names.filter(|name| name.as_encoded_bytes().starts_with(b"PYTHON") && name.to_str() != Some(NO_BYTECODE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_variable_of_python_reaches_the_guest_but_the_one_that_is_set() {
        let names = ["PATH", "PYTHONHASHSEED", NO_BYTECODE, "PYTHONPATH", "MYPYTHON"].map(OsString::from);
        assert_eq!(of(names.into_iter()).collect::<Vec<_>>(), ["PYTHONHASHSEED", "PYTHONPATH"]);
    }
}
