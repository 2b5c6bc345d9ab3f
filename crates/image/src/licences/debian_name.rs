//! Converts short names of licences in Debian's copyright files to SPDX identifiers.

use super::expression::Expression;

/// Names that neither are SPDX identifiers nor can be derived from one: those of the format's specification, and
/// frequent ones.
const NAMES: &[(&str, &str)] = &[
    ("apache", "Apache-2.0"),
    ("apache-2", "Apache-2.0"),
    ("artistic", "Artistic-1.0"),
    ("artistic-1", "Artistic-1.0"),
    ("artistic-2", "Artistic-2.0"),
    ("boost", "BSL-1.0"),
    ("boost-1.0", "BSL-1.0"),
    ("bsd-2", "BSD-2-Clause"),
    ("bsd-3", "BSD-3-Clause"),
    ("cc0", "CC0-1.0"),
    ("cc-by-3", "CC-BY-3.0"),
    ("cc-by-4", "CC-BY-4.0"),
    ("cc-by-sa-3", "CC-BY-SA-3.0"),
    ("cc-by-sa-4", "CC-BY-SA-4.0"),
    ("expat", "MIT"),
    ("mpl-2", "MPL-2.0"),
    ("psf-2", "PSF-2.0"),
    ("sil-1.1", "OFL-1.1"),
    ("ofl", "OFL-1.1"),
    ("w3c-software", "W3C"),
    ("zpl-2", "ZPL-2.0"),
];

/// Families whose names have a version and perhaps a plus: Debian's prefix and SPDX's.
const FAMILIES: &[(&str, &str, &str)] = &[
    ("gpl-", "GPL-", ""),
    ("lgpl-", "LGPL-", ""),
    ("agpl-", "AGPL-", ""),
    ("gfdl-niv-", "GFDL-", "-no-invariants"),
    ("gfdl-", "GFDL-", ""),
    ("fdl-", "GFDL-", ""),
];

/// SPDX exceptions: a word of Debian's name, and the identifier for each version of the GPL.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("autoconf", "Autoconf-exception-2.0", "Autoconf-exception-3.0"),
    ("bison", "Bison-exception-2.2", "Bison-exception-2.2"),
    ("font", "Font-exception-2.0", "Font-exception-2.0"),
    ("gcc", "GCC-exception-2.0", "GCC-exception-3.1"),
    ("libtool", "Libtool-exception", "Libtool-exception"),
    ("classpath", "Classpath-exception-2.0", "Classpath-exception-2.0"),
];

/// One licence, possibly with an exception; a name unknown to SPDX becomes `LicenseRef-debian-NAME`.
pub(super) fn expression(name: &str) -> Option<Expression> {
    let name = name.trim().trim_end_matches(',');
    with_known_exception(name).or_else(|| identifier(name)).or_else(|| reference(name)).map(Expression::atom)
}

fn with_known_exception(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    let (licence, exception) = lower.split_once(" with ")?;
    let licence = identifier(licence)?;
    let words: Vec<&str> = exception.split([' ', '-']).collect();
    let [word, "exception"] = words[..] else { return None };
    let (_, second, third) = EXCEPTIONS.iter().find(|(known, ..)| *known == word)?;
    let exception = if licence.contains("GPL-3") { third } else { second };
    Some(format!("{licence} WITH {exception}"))
}

fn identifier(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    if let Some((_, id)) = NAMES.iter().find(|(known, _)| *known == lower) {
        return Some((*id).to_owned());
    }
    if let Some(id) = gnu(&lower) {
        return Some(id);
    }
    let known = |license: &&spdx::License| license.name.eq_ignore_ascii_case(&lower);
    let found = spdx::identifiers::LICENSES.iter().find(known)?;
    let is_deprecated = spdx::license_id(found.name).is_none_or(spdx::LicenseId::is_deprecated);
    (!is_deprecated).then(|| found.name.to_owned())
}

/// `gpl-2+` as `GPL-2.0-or-later`.
fn gnu(lower: &str) -> Option<String> {
    let (rest, spdx, kind) = FAMILIES
        .iter()
        .find_map(|(prefix, spdx, kind)| lower.strip_prefix(prefix).map(|rest| (rest, spdx, kind)))?;
    let (version, later) = match rest.strip_suffix('+').or_else(|| rest.strip_suffix("-or-later")) {
        Some(version) => (version, "or-later"),
        None => (rest.strip_suffix("-only").unwrap_or(rest), "only"),
    };
    let version = if version.contains('.') { version.to_owned() } else { format!("{version}.0") };
    let id = format!("{spdx}{version}{kind}-{later}");
    spdx::license_id(&id).map(|found| found.name.to_owned())
}

/// `idstring` of SPDX: letters, digits, `-` and `.`.
fn reference(name: &str) -> Option<String> {
    let letter = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    // A plus distinguishes two licences.
    let plain: String = name.replace('+', "-or-later").chars().map(letter).collect();
    let parts: Vec<&str> = plain.split('-').filter(|part| !part.is_empty()).collect();
    (!parts.is_empty()).then(|| format!("LicenseRef-debian-{}", parts.join("-")))
}
