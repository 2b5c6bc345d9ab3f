//! Licences of packages as SPDX expressions: from Debian's copyright files, npm and Cargo.

mod copyright;
mod debian_name;
mod expression;

pub use copyright::{LIMIT, of_copyright};

/// The longest expression that is kept, in bytes: browsers have dozens of licences.
const LONGEST: usize = 16 << 10;

/// A licence from npm or Cargo, if it is an SPDX expression: Cargo's older `/` means `OR`.
pub fn of_spdx(text: &str) -> Option<String> {
    let text = text.replace('/', " OR ");
    let words: Vec<&str> = text.split_whitespace().collect();
    valid(words.join(" "))
}

fn valid(text: String) -> Option<String> {
    (text.len() <= LONGEST && spdx::Expression::parse(&text).is_ok()).then_some(text)
}

/// Whether it can only be used under licences in `denied`: SPDX identifiers, or `LicenseRef-` ones.
pub fn is_denied(expression: &str, denied: &[impl AsRef<str>]) -> bool {
    let Ok(parsed) = spdx::Expression::parse(expression) else { return false };
    let is_allowed = |required: &spdx::LicenseReq| {
        let name = required.license.to_string();
        !denied.iter().any(|denied| denied.as_ref().eq_ignore_ascii_case(&name))
    };
    !parsed.evaluate(is_allowed)
}

/// The identifiers in an expression that are not in SPDX's lists: a bill must declare them.
pub fn references(expression: &str) -> Vec<String> {
    let Ok(parsed) = spdx::Expression::parse(expression) else { return Vec::new() };
    let names = parsed.requirements().map(|required| required.req.license.to_string());
    names.filter(|name| name.starts_with("LicenseRef-")).collect()
}

#[cfg(test)]
mod tests;
