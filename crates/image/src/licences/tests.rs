use super::*;

fn of(paragraphs: &str) -> Option<String> {
    let head =
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: x\n\n";
    of_copyright(format!("{head}{paragraphs}").as_bytes())
}

fn files(licence: &str) -> Option<String> {
    of(&format!("Files: *\nCopyright: me\nLicense: {licence}\n text\n .\n more: text\n"))
}

#[test]
fn short_names_are_mapped_to_spdx() {
    for (debian, spdx) in [
        ("Expat", "MIT"),
        ("GPL-2+", "GPL-2.0-or-later"),
        ("GPL-3", "GPL-3.0-only"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"),
        ("bsd-3-clause", "BSD-3-Clause"),
        ("Apache-2.0", "Apache-2.0"),
        ("public-domain", "LicenseRef-debian-public-domain"),
        ("GPL", "LicenseRef-debian-GPL"),
        ("my licence, version 2+", "LicenseRef-debian-my-licence-version-2-or-later"),
        ("GPL-3+ with autoconf exception", "GPL-3.0-or-later WITH Autoconf-exception-3.0"),
        ("GPL-2+ with OpenSSL exception", "LicenseRef-debian-GPL-2-or-later-with-OpenSSL-exception"),
    ] {
        assert_eq!(files(debian).as_deref(), Some(spdx), "{debian}");
    }
}

#[test]
fn and_binds_tighter_than_or_and_commas_loosest() {
    assert_eq!(
        files("GPL-2+ or Artistic-2.0 and BSD-3-clause").as_deref(),
        Some("GPL-2.0-or-later OR (Artistic-2.0 AND BSD-3-Clause)")
    );
    assert_eq!(
        files("GPL-2+ or Artistic-2.0, and BSD-3-clause").as_deref(),
        Some("BSD-3-Clause AND (Artistic-2.0 OR GPL-2.0-or-later)")
    );
}

#[test]
fn licences_of_all_files_count_and_texts_are_ignored() {
    let text = "Files: *\nLicense: GPL-2+\n\nFiles: a\n b\nCopyright: you\nLicense: Expat\n Files: no\n\n\n\
                Files: c\nLicense: GPL-2+\n\nLicense: GPL-3\n License: ISC\n";
    assert_eq!(of(text).as_deref(), Some("GPL-2.0-or-later AND MIT"));
}

#[test]
fn unstructured_copyright_files_are_not_guessed() {
    assert_eq!(of_copyright(b"This package is under the GPL-2.\n\nFiles: *\nLicense: Expat\n"), None);
    assert_eq!(of(""), None);
    assert_eq!(of("Files: *\nCopyright: me\n"), None);
    assert_eq!(files(""), None);
    assert_eq!(files("; and -"), None);
}

#[test]
fn npm_and_cargo_expressions_are_accepted_and_prose_is_not() {
    assert_eq!(of_spdx("(MIT OR Apache-2.0)").as_deref(), Some("(MIT OR Apache-2.0)"));
    assert_eq!(of_spdx("MIT/Apache-2.0").as_deref(), Some("MIT OR Apache-2.0"));
    assert_eq!(of_spdx("SEE LICENSE IN README.md"), None);
    assert_eq!(of_spdx("UNLICENSED"), None);
}

#[test]
fn a_choice_is_denied_only_if_all_alternatives_are() {
    let denied = ["SSPL-1.0", "LicenseRef-debian-x"];
    assert!(is_denied("SSPL-1.0", &denied) && is_denied("MIT AND SSPL-1.0", &denied));
    assert!(is_denied("LicenseRef-debian-x", &denied));
    assert!(!is_denied("SSPL-1.0 OR MIT", &denied) && !is_denied("MIT", &denied));
}

#[test]
fn unlisted_licences_become_references() {
    assert_eq!(references("MIT AND (LicenseRef-debian-x OR ISC)"), ["LicenseRef-debian-x"]);
}

/// Thousands of maintainers wrote these: no expression may be invalid.
#[test]
fn copyright_files_of_this_host_are_parsed() {
    let Ok(folders) = std::fs::read_dir("/usr/share/doc") else { rave_testing::skip!("no /usr/share/doc") };
    let texts = folders.flatten().filter_map(|folder| std::fs::read(folder.path().join("copyright")).ok());
    let (mut all, mut read) = (0, 0);
    for text in texts {
        all += 1;
        read += usize::from(of_copyright(&text).is_some());
    }
    if all < 50 {
        rave_testing::skip!("this host is not Debian");
    }
    assert!(read * 2 > all, "{read} of {all} are read");
}
