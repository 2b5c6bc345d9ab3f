//! The comparison of two builds as text.

use camino::Utf8Path;
use rave_image::compare::{
    BuildDifference, ByteDifference, DifferenceLocation, FileComparison, FileDifference,
};

use crate::ui::Ui;

pub(super) fn table(compared: &[FileComparison], ui: &Ui) {
    let row = |one: &FileComparison| {
        let both = if one.differs.is_some() { "differ" } else { "same" };
        vec![one.format.to_string(), one.name.clone(), both.to_owned(), one.sha256.to_string()]
    };
    ui.table(&["format", "file", "both builds", "SHA-256"], &compared.iter().map(row).collect::<Vec<_>>());
}

pub(super) fn json(
    compared: &[FileComparison],
    difference: Option<&BuildDifference>,
) -> anyhow::Result<String> {
    let value = serde_json::json!({ "artifacts": compared, "difference": difference });
    Ok(serde_json::to_string_pretty(&value)?)
}

/// What differs, the first build's value before the second's.
pub(super) fn lines(
    compared: &[FileComparison],
    difference: Option<&BuildDifference>,
    folder: &Utf8Path,
) -> Vec<String> {
    let names = compared.iter().filter(|one| one.differs.is_some()).map(|one| one.name.as_str());
    let mut lines = vec![format!("error: two builds differ in {}", names.collect::<Vec<_>>().join(", "))];
    if let Some(difference) = difference {
        if !difference.inputs.is_empty() {
            let inputs = difference.inputs.join(", ");
            lines.push(format!(
                "  made from different inputs: {inputs}; the disk's identifiers are derived from them and differ too"
            ));
        }
        match &difference.place {
            DifferenceLocation::Files(trees) => {
                trees.told.iter().for_each(|file| lines.extend(of_file(file)));
                let more = trees.number - trees.told.len() as u64;
                if more > 0 {
                    lines.push(format!("  and {more} more"));
                }
            }
            DifferenceLocation::Disk { part, spot } => {
                lines.push(format!("  the same files, but the disk differs in {part}"));
                lines.extend(of_spot(spot));
            }
            DifferenceLocation::Container { part, spot } => {
                lines.push(format!("  the same disk, but the file around it differs: {part}"));
                lines.extend(of_spot(spot));
            }
        }
    }
    lines.push(format!("the second build is kept in {folder}"));
    lines
}

fn of_file(file: &FileDifference) -> Vec<String> {
    let mut lines = vec![format!("  {}", file.path)];
    for fact in &file.facts {
        let [ours, theirs] = &fact.values;
        lines.push(format!("    {}: {ours} against {theirs}", fact.what));
    }
    lines.extend(file.spot.iter().flat_map(of_spot).map(|line| format!("  {line}")));
    lines
}

fn of_spot(spot: &ByteDifference) -> [String; 3] {
    let [ours, theirs] = &spot.around;
    [format!("  first at byte {}:", spot.offset), format!("    \"{ours}\""), format!("    \"{theirs}\"")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rave_image::compare::{TreeDifference, ValueDifference};

    #[test]
    fn the_first_differing_file_is_shown_with_both_values() {
        let fact =
            |what, ours: &str, theirs: &str| ValueDifference { what, values: [ours.into(), theirs.into()] };
        let file = FileDifference {
            path: "/etc/motd".into(),
            facts: vec![fact("mode", "0644", "0600"), fact("size", "1", "2")],
            spot: Some(ByteDifference { offset: 1, around: ["a".into(), "ab".into()] }),
        };
        let trees = TreeDifference { told: vec![file], number: 3 };
        let difference =
            BuildDifference { inputs: vec!["disk".into()], place: DifferenceLocation::Files(trees) };
        let compared = FileComparison {
            format: rave_spec::Format::Raw,
            name: "a.img".into(),
            sha256: "0".repeat(64).parse().unwrap(),
            differs: Some(ByteDifference { offset: 0, around: [String::new(), String::new()] }),
        };
        let lines = lines(&[compared], Some(&difference), "/second".into());
        let expected = [
            "error: two builds differ in a.img",
            "  made from different inputs: disk; the disk's identifiers are derived from them and differ too",
            "  /etc/motd",
            "    mode: 0644 against 0600",
            "    size: 1 against 2",
            "    first at byte 1:",
            "      \"a\"",
            "      \"ab\"",
            "  and 2 more",
            "the second build is kept in /second",
        ];
        assert_eq!(lines, expected);
    }
}
