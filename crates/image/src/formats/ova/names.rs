//! Names of files in a package.

use crate::digest::Digest;

/// Bytes of a name in a ustar header, including its final NUL ("ustar Interchange Format").
const LONGEST_NAME: usize = 100;

/// The longest suffix of a name in a package.
const LONGEST_ENDING: &str = "-disk1.vmdk";

/// The base name of a package's files: the stem, or a digest and as much of the stem as fits a plain ustar header.
pub(crate) fn package_stem(stem: &str) -> String {
    let room = LONGEST_NAME - 1 - LONGEST_ENDING.len();
    if stem.len() <= room {
        return stem.to_owned();
    }
    let digest = &Digest::of_bytes(stem.as_bytes()).short()[..8];
    let most = room - digest.len() - 1;
    let end = (0..=most).rev().find(|end| stem.is_char_boundary(*end)).unwrap_or_default();
    format!("{}-{digest}", &stem[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_package_fit_a_ustar_header_and_stay_distinct() {
        assert_eq!(package_stem("a b"), "a b");
        let (one, other) = (package_stem(&"é".repeat(100)), package_stem(&"é".repeat(101)));
        assert!(one != other && one.starts_with('é'), "{one} {other}");
        for length in 80..110 {
            let name = format!("{}-disk1.vmdk", package_stem(&"n".repeat(length)));
            assert!(name.len() < LONGEST_NAME, "{name}");
        }
    }
}
