//! Rules of ARCHITECTURE.md and CONTRIBUTING.md that the compiler does not check.

use camino::Utf8PathBuf;
use syn::visit::{self, Visit};
use syn::{ExprClosure, ExprReturn, ItemFn};

use crate::checkout::{files, read};

/// Maximum number of lines in a source file.
const MAX_LINES: usize = 500;

/// Each line of code under `src/` that contains one of `needles` and is not a comment.
fn lines_with(needles: &[&str], is_exempt: impl Fn(&Utf8PathBuf) -> bool) -> Vec<String> {
    let code = files(".rs").into_iter().filter(|file| file.as_str().contains("src/") && !is_exempt(file));
    code.flat_map(|file| {
        let text = read(&file);
        let hits = text.lines().enumerate().filter(|(_, line)| {
            !line.trim_start().starts_with("//") && needles.iter().any(|needle| is_code(line, needle))
        });
        hits.map(|(number, line)| format!("{file}:{}: {}", number + 1, line.trim())).collect::<Vec<_>>()
    })
    .collect()
}

/// Whether `needle` is outside a string: after an even number of quotes.
fn is_code(line: &str, needle: &str) -> bool {
    line.find(needle).is_some_and(|place| line[..place].matches('"').count().is_multiple_of(2))
}

fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn only_rave_process_spawns_on_the_host() {
    // The guest's program runs inside the machine and spawns processes itself.
    let exempt = |file: &Utf8PathBuf| file.starts_with("crates/process") || file.starts_with("crates/guest");
    none(
        "use rave_process::Cmd",
        &lines_with(&["process::Command", "process::{Command", "Command, Stdio"], exempt),
    );
}

#[test]
fn other_spawners_are_those_of_adr_004() {
    // duct runs the peers of bench, and the tool in tests that kill it; xshell has xtask's short captured commands.
    let peers = |file: &Utf8PathBuf| file == "xtask/src/bench/peer.rs";
    none("use rave_process::Cmd", &lines_with(&["duct::"], peers));
    let developers = |file: &Utf8PathBuf| file.starts_with("xtask/src");
    none("use rave_process::Cmd", &lines_with(&["xshell::"], developers));
    for file in files("Cargo.toml").into_iter().filter(|file| file.starts_with("crates")) {
        let text = read(&file);
        let (product, _) = text.split_once("[dev-dependencies]").unwrap_or((&text, ""));
        let spawner = product.lines().find(|line| line.starts_with("duct") || line.starts_with("xshell"));
        assert_eq!(spawner, None, "{file}: the product spawns only through rave-process");
    }
}

#[test]
fn only_the_ui_prints() {
    let exempt = |file: &Utf8PathBuf| {
        // A test has no Ui.
        ["crates/rave/src/ui", "crates/guest/src/bin", "crates/testing"]
            .iter()
            .any(|folder| file.starts_with(folder))
    };
    none(
        "print through the Ui",
        &lines_with(&["println!(", "print!(", "dbg!(", "io::stdout(", "io::stderr("], |file| {
            // settings checks whether stdin is a terminal, and prints nothing.
            exempt(file) || file == "crates/rave/src/settings.rs"
        }),
    );
}

/// The crates of the workspace that each crate may depend on, in its tests too.
const MAY_DEPEND_ON: [(&str, &[&str]); 16] = [
    ("testing", &[]),
    ("spec", &[]),
    ("fs", &[]),
    ("process", &[]),
    ("audit", &["testing"]),
    ("fence", &[]),
    ("guest", &["testing"]),
    ("image", &["fs", "guest", "process", "spec", "testing"]),
    ("vm", &["fence", "fs", "guest", "net", "process", "spec", "testing"]),
    ("workspace", &["fs", "guest", "process", "testing"]),
    ("net", &["fs", "testing"]),
    ("sandbox", &["audit", "fs", "guest", "net", "process", "spec", "testing", "vm"]),
    ("smoke", &["fs", "guest", "net", "process", "spec", "testing", "vm"]),
    ("release", &["fs", "guest", "image", "process", "smoke", "spec", "testing"]),
    ("host", &["fs", "image", "process", "spec", "vm"]),
    (
        "rave",
        &[
            "audit",
            "fence",
            "fs",
            "guest",
            "host",
            "image",
            "net",
            "process",
            "release",
            "sandbox",
            "smoke",
            "spec",
            "testing",
            "vm",
            "workspace",
        ],
    ),
];

#[test]
fn dependencies_point_one_way() {
    for file in files("Cargo.toml").into_iter().filter(|file| file.starts_with("crates")) {
        let name = file.parent().and_then(|folder| folder.file_name()).unwrap_or_default();
        let allowed = MAY_DEPEND_ON.iter().find(|(known, _)| *known == name);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{file}: list what it may use in MAY_DEPEND_ON"));
        for line in read(&file).lines() {
            let key = line.split(['.', ' ', '=']).next().unwrap_or_default();
            assert!(key != "xtask", "{file} depends on xtask");
            let sibling = key.strip_prefix("rave-").filter(|sibling| !allowed.contains(sibling));
            assert_eq!(sibling, None, "{file} depends on a crate that it may not use");
        }
    }
}

#[test]
fn files_have_a_limited_length() {
    let long = files(".rs").into_iter().filter_map(|file| {
        let lines = read(&file).lines().count();
        (lines > MAX_LINES).then(|| format!("{file}: {lines} lines"))
    });
    none("split these", &long.collect::<Vec<_>>());
}

/// The positions of `return` in tests, except in nested closures and functions.
#[derive(Default)]
struct EarlyEnds {
    test: Option<String>,
    found: Vec<String>,
}

impl<'ast> Visit<'ast> for EarlyEnds {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        let is_test = function.attrs.iter().any(|attribute| attribute.path().is_ident("test"));
        let outer = std::mem::replace(&mut self.test, is_test.then(|| function.sig.ident.to_string()));
        visit::visit_item_fn(self, function);
        self.test = outer;
    }

    fn visit_expr_closure(&mut self, closure: &'ast ExprClosure) {
        let outer = self.test.take();
        visit::visit_expr_closure(self, closure);
        self.test = outer;
    }

    fn visit_expr_return(&mut self, _: &'ast ExprReturn) {
        self.found.extend(self.test.clone());
    }
}

#[test]
fn a_skipped_test_is_reported() {
    let early = files(".rs").into_iter().flat_map(|file| {
        let mut ends = EarlyEnds::default();
        ends.visit_file(&syn::parse_file(&read(&file)).unwrap_or_else(|error| panic!("{file}: {error}")));
        ends.found.into_iter().map(move |test| format!("{file}: {test}"))
    });
    none("use rave_testing::skip! or or_skip!", &early.collect::<Vec<_>>());

    // In pieces, so that this file obeys the rule too.
    let words = concat!("\"NOT", " RUN: ");
    let places = files(".rs").into_iter().filter(|file| read(file).contains(words));
    assert_eq!(places.collect::<Vec<_>>(), ["crates/testing/src/lib.rs"]);
}

#[test]
fn nothing_is_left_to_do_and_no_host_or_path_is_written_down() {
    // In pieces, so that this file obeys the rule too.
    let forbidden = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("unimple", "mented!("),
        concat!("deb.", "debian.org"),
        concat!("registry.", "npmjs.org"),
        concat!("crates", ".io"),
        concat!("py", "pi.org"),
        concat!("/work/", "main"),
    ];
    let hits = files("").into_iter().filter(|file| file != "Cargo.lock").flat_map(|file| {
        let text = read(&file);
        let hits =
            text.lines().enumerate().filter(|(_, line)| forbidden.iter().any(|word| line.contains(word)));
        hits.map(|(number, line)| format!("{file}:{}: {}", number + 1, line.trim())).collect::<Vec<_>>()
    });
    none("remove these", &hits.collect::<Vec<_>>());
}

#[test]
fn every_adr_has_a_number() {
    let mut numbers = Vec::new();
    for file in files(".md").into_iter().filter(|file| file.starts_with("docs/adr")) {
        let name = file.file_name().unwrap_or_default();
        let number = name.split('-').next().unwrap_or_default();
        assert!(number.len() == 3 && number.parse::<u16>().is_ok(), "{file}: NNN-name.md is expected");
        let title = read(&file).lines().next().unwrap_or_default().to_owned();
        assert!(
            title.starts_with('#') && title.contains(number),
            "{file}: the title {title:?} lacks {number}"
        );
        numbers.push(number.parse::<usize>().unwrap_or_default());
    }
    let expected: Vec<usize> = (1..=numbers.len()).collect();
    assert_eq!(numbers, expected, "numbers are unique and have no gaps");
}
