//! Package URLs (ECMA-427), as understood by scanners.

use std::fmt::Write as _;

/// A Debian package.
pub fn deb(name: &str, version: &str, architecture: &str, suite: &str) -> String {
    let (name, version) = (encoded(name), encoded(version));
    format!("pkg:deb/debian/{name}@{version}?arch={architecture}&distro={}", encoded(suite))
}

/// An npm package; its scope is the namespace.
pub fn npm(name: &str, version: &str) -> String {
    let name = name.split('/').map(encoded).collect::<Vec<_>>().join("/");
    format!("pkg:npm/{name}@{}", encoded(version))
}

/// A crate.
pub fn cargo(name: &str, version: &str) -> String {
    format!("pkg:cargo/{}@{}", encoded(name), encoded(version))
}

/// A package of nixpkgs, with the output that is there. The type is not registered (purl-spec, "Other candidate types").
pub fn nix(name: &str, version: &str, output: Option<&str>) -> String {
    let output = output.map(|output| format!("?output={}", encoded(output))).unwrap_or_default();
    format!("pkg:nix/{}@{}{output}", encoded(name), encoded(version))
}

/// Percent-encodes everything but unreserved characters (RFC 3986, section 2.3).
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}"); // a String takes all
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_url_characters_are_encoded() {
        assert_eq!(
            deb("libstdc++6", "1:14.2.0-19~x", "amd64", "trixie"),
            "pkg:deb/debian/libstdc%2B%2B6@1%3A14.2.0-19~x?arch=amd64&distro=trixie"
        );
        assert_eq!(npm("@scope/tool", "1.0.0-rc.1+2"), "pkg:npm/%40scope/tool@1.0.0-rc.1%2B2");
        assert_eq!(nix("e2fsprogs", "1.47.4", Some("bin")), "pkg:nix/e2fsprogs@1.47.4?output=bin");
        assert_eq!(nix("gtk+", "2.24", None), "pkg:nix/gtk%2B@2.24");
        assert_eq!(cargo("serde_json", "1.0.0"), "pkg:cargo/serde_json@1.0.0");
    }
}
