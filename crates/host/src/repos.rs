//! Parses apt's sources, as far as needed to derive an entry for backports. Formats: sources.list(5).

/// One entry of the sources that serves binary packages.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    /// As written, including continuation lines if it contains the key itself.
    signed_by: Option<String>,
}

/// What to do about backports on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Backports {
    /// They are already in the sources.
    Present,
    /// This deb822 file adds them.
    Add(String),
    /// No entry for Debian's own archive was found to take the address from.
    Unknown,
}

/// Decides from the host's sources. `files` has the names and texts of `sources.list`, `*.list` and `*.sources`.
pub(crate) fn backports(codename: &str, files: &[(String, String)]) -> Backports {
    let entries: Vec<Entry> = files
        .iter()
        .flat_map(|(name, text)| if name.ends_with(".sources") { deb822(text) } else { one_line(text) })
        .collect();
    let wanted = format!("{codename}-backports");
    if entries.iter().any(|entry| entry.suites.contains(&wanted)) {
        return Backports::Present;
    }
    debian_entry(&entries, codename).map_or(Backports::Unknown, |entry| {
        let uris = entry.uris.join(" ");
        let key = entry.signed_by.as_ref().map(|key| format!("Signed-By: {key}\n")).unwrap_or_default();
        Backports::Add(format!("Types: deb\nURIs: {uris}\nSuites: {wanted}\nComponents: main\n{key}"))
    })
}

/// The entry of Debian's own archive. Third parties also use Debian's code names as suites, but sign with their own
/// keys. If no entry has Debian's key or the default, a single candidate is used (a mirror with its own key).
fn debian_entry<'a>(entries: &'a [Entry], codename: &str) -> Option<&'a Entry> {
    let serves = |entry: &&Entry| {
        entry.suites.iter().any(|suite| [codename, "stable", "oldstable"].contains(&suite.as_str()))
            && entry.components.iter().any(|component| component == "main")
    };
    let has_debians_key =
        |entry: &&Entry| entry.signed_by.as_ref().is_none_or(|key| key.contains("debian-archive"));
    let candidates: Vec<&Entry> = entries.iter().filter(serves).collect();
    match candidates.iter().copied().find(has_debians_key) {
        None if candidates.len() == 1 => candidates.first().copied(),
        found => found,
    }
}

fn deb822(text: &str) -> Vec<Entry> {
    let without_comments: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    without_comments.split(|line| line.trim().is_empty()).filter_map(stanza).collect()
}

fn stanza(lines: &[&str]) -> Option<Entry> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in lines {
        if line.starts_with([' ', '\t']) {
            let (_, value) = fields.last_mut()?;
            value.push('\n');
            value.push_str(line);
        } else {
            let (name, value) = line.split_once(':')?;
            fields.push((name.to_lowercase(), value.trim().to_owned()));
        }
    }
    let field = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str());
    let values =
        |name| field(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    if field("enabled").is_some_and(|value| value.eq_ignore_ascii_case("no")) {
        return None;
    }
    values("types").iter().any(|kind| kind == "deb").then(|| Entry {
        uris: values("uris"),
        suites: values("suites"),
        components: values("components"),
        signed_by: field("signed-by").map(str::to_owned),
    })
}

fn one_line(text: &str) -> Vec<Entry> {
    text.lines().filter_map(|line| line_entry(line.split('#').next().unwrap_or_default())).collect()
}

fn line_entry(line: &str) -> Option<Entry> {
    let rest = line.trim().strip_prefix("deb")?;
    let rest = rest.strip_prefix([' ', '\t'])?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut tokens = rest.split_whitespace().map(str::to_owned);
    Some(Entry {
        uris: vec![tokens.next()?],
        suites: vec![tokens.next()?],
        components: tokens.collect(),
        signed_by: options
            .split_whitespace()
            .find_map(|option| option.strip_prefix("signed-by="))
            .map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn file(name: &str, text: &str) -> (String, String) {
        (name.to_owned(), text.to_owned())
    }

    const DEB822: &str = "\
Types: deb
# where it was on that day
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.test/debian-security
Suites: bookworm-security
Components: main
";

    #[test]
    fn the_new_entry_is_the_existing_one_with_another_suite() {
        let third_party = "Types: deb\nURIs: http://other.test/x\nSuites: bookworm\nComponents: main\n\
                           Signed-By: /etc/apt/keyrings/other.gpg\n";
        let files = [file("a.sources", third_party), file("debian.sources", DEB822)];
        let Backports::Add(text) = backports("bookworm", &files) else { panic!("not added") };
        expect![[r"
            Types: deb
            URIs: http://mirror.test/debian
            Suites: bookworm-backports
            Components: main
            Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
        "]]
        .assert_eq(&text);
    }

    #[test]
    fn one_line_sources_are_parsed() {
        let text = "# comment\ndeb-src http://m.test/d bookworm main\n\
                    deb [ arch=amd64 signed-by=/k/debian-archive-x.gpg ] http://m.test/d bookworm main contrib # x\n";
        let Backports::Add(text) = backports("bookworm", &[file("sources.list", text)]) else { panic!() };
        expect![[r"
            Types: deb
            URIs: http://m.test/d
            Suites: bookworm-backports
            Components: main
            Signed-By: /k/debian-archive-x.gpg
        "]]
        .assert_eq(&text);
    }

    #[test]
    fn an_existing_entry_suffices_unless_disabled() {
        let mine = "deb http://m.test/d bookworm-backports main";
        assert_eq!(backports("bookworm", &[file("mine.list", mine)]), Backports::Present);
        let disabled = "Enabled: no\nTypes: deb\nURIs: x\nSuites: bookworm-backports\nComponents: main\n";
        assert_eq!(backports("bookworm", &[file("off.sources", disabled)]), Backports::Unknown);
    }

    #[test]
    fn an_inline_key_is_kept() {
        let text =
            "Types: deb\nURIs: u\nSuites: bookworm\nComponents: main\nSigned-By:\n -----BEGIN\n .\n abc\n";
        let Backports::Add(text) = backports("bookworm", &[file("d.sources", text)]) else { panic!() };
        assert!(text.ends_with("Signed-By: \n -----BEGIN\n .\n abc\n"), "{text}");
    }

    #[test]
    fn ambiguous_entries_are_not_guessed() {
        let entry = |uri: &str| format!("deb [signed-by=/k/other.gpg] {uri} bookworm main\n");
        let files = [file("a.list", &(entry("http://a.test") + &entry("http://b.test")))];
        assert_eq!(backports("bookworm", &files), Backports::Unknown);
    }
}
