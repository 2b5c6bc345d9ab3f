//! The derivations that a disk is built from, as `nix derivation show` prints them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use serde::Deserialize;

use super::replacements::{self, Replacement};
use super::table::{Row, Table};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Derivation {
    name: String,
    outputs: BTreeMap<String, Output>,
    input_drvs: BTreeMap<String, Input>,
    env: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Output {
    path: Option<String>,
    /// Known before it is built: it is fetched.
    hash: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Input {
    outputs: Vec<String>,
}

/// All of them, by the path of the file.
#[derive(Debug)]
pub(super) struct Derivations(BTreeMap<String, Derivation>);

/// A derivation whose outputs are filled.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) row: &'static Replacement,
    /// The paths of the outputs that something is built from.
    pub(super) outputs: BTreeSet<&'a str>,
    pub(super) environment: &'a BTreeMap<String, String>,
}

/// A derivation whose outputs are filled from a payload.
#[derive(Debug)]
pub(super) struct Filled<'a> {
    pub(super) name: String,
    /// The outputs that something is built from: name, path, row.
    pub(super) outputs: BTreeSet<(&'a str, &'a str, &'a Row)>,
    pub(super) environment: &'a BTreeMap<String, String>,
}

impl Derivations {
    pub(super) fn read(json: &str) -> anyhow::Result<Self> {
        match serde_json::from_str(json) {
            Ok(all) => Ok(Self(all)),
            Err(error) => bail!("`nix derivation show` of this nix prints something else: {error}"),
        }
    }

    /// The file of the one that has this name.
    pub(super) fn named(&self, name: &str) -> anyhow::Result<&str> {
        let found = self.0.iter().find(|(_, derivation)| derivation.name == name);
        found.map(|(path, _)| path.as_str()).ok_or_else(|| anyhow::anyhow!("no derivation is called {name}"))
    }

    /// What must be filled so that nix can build these, by a table.
    pub(super) fn wanted<'a>(
        &'a self,
        roots: &[&'a str],
        table: &'a Table,
    ) -> anyhow::Result<Vec<Filled<'a>>> {
        let mut wanted: BTreeMap<&str, Filled<'_>> = BTreeMap::new();
        self.walk(roots, &mut |path, derivation, used| {
            let outputs = used.iter().filter_map(|name| {
                let path = derivation.outputs.get(name)?.path.as_deref()?;
                Some((name.as_str(), path, table.of(&derivation.name, name)?))
            });
            let outputs: Vec<_> = outputs.collect();
            if outputs.is_empty() {
                return false;
            }
            let entry = wanted.entry(path).or_insert_with(|| Filled {
                name: derivation.name.clone(),
                outputs: BTreeSet::new(),
                environment: &derivation.env,
            });
            entry.outputs.extend(outputs);
            true
        })?;
        Ok(wanted.into_values().collect())
    }

    /// What must be filled so that nix can build these from a stand-in system, and nothing that nix can build itself.
    pub(super) fn to_fill<'a>(&'a self, roots: &[&'a str]) -> anyhow::Result<Vec<Wanted<'a>>> {
        let mut wanted: BTreeMap<&str, Wanted<'_>> = BTreeMap::new();
        self.walk(roots, &mut |path, derivation, used| {
            let Some(row) = replacements::of(&derivation.name) else { return false };
            let entry = wanted.entry(path).or_insert_with(|| Wanted {
                row,
                outputs: BTreeSet::new(),
                environment: &derivation.env,
            });
            entry
                .outputs
                .extend(used.iter().filter_map(|name| derivation.outputs.get(name)?.path.as_deref()));
            true
        })?;
        Ok(wanted.into_values().collect())
    }

    /// Asks `fill` about each derivation that these are built from, with the outputs that are used; those that it does not
    /// fill are built, so theirs follow. Fails with all that would be fetched and are not filled.
    fn walk<'a>(
        &'a self,
        roots: &[&'a str],
        fill: &mut dyn FnMut(&'a str, &'a Derivation, &'a [String]) -> bool,
    ) -> anyhow::Result<()> {
        let mut missing = BTreeSet::new();
        let (mut open, mut seen) = (roots.to_vec(), BTreeSet::new());
        while let Some(path) = open.pop() {
            if !seen.insert(path) {
                continue;
            }
            for (input, used) in &self.get(path)?.input_drvs {
                let derivation = self.get(input)?;
                if fill(input, derivation, &used.outputs) {
                    continue;
                }
                if derivation.outputs.values().any(|output| output.hash.is_some()) {
                    missing.insert(format!("{} for {}", derivation.name, self.get(path)?.name));
                }
                open.push(input);
            }
        }
        if !missing.is_empty() {
            let all: Vec<String> = missing.into_iter().collect();
            bail!("would be fetched, and the table of replacements has neither: {}", all.join(", "));
        }
        Ok(())
    }

    fn get(&self, path: &str) -> anyhow::Result<&Derivation> {
        self.0.get(path).ok_or_else(|| anyhow::anyhow!("nix names {path} and does not show it"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::By;
    use super::*;

    fn derivation(name: &str, hash: &str, inputs: &[(&str, &str)]) -> String {
        let inputs: Vec<String> = inputs
            .iter()
            .map(|(path, output)| format!("\"{path}\":{{\"outputs\":[\"{output}\"]}}"))
            .collect();
        format!(
            "{{\"name\":\"{name}\",\"outputs\":{{\"out\":{{\"path\":\"/nix/store/{name}\"{hash}}},\"dev\":{{\"path\":\"/nix/store/{name}-dev\"}}}},\
             \"inputDrvs\":{{{}}},\"env\":{{}}}}",
            inputs.join(",")
        )
    }

    fn read(source_of: &str) -> Derivations {
        let all = [
            ("disk", derivation("rave-disk", "", &[("text", "out"), ("jq", "dev")])),
            ("text", derivation("a.toml", "", &[(source_of, "out"), ("jq", "out")])),
            ("jq", derivation("jq-1.8", "", &[("source", "out")])),
            ("source", derivation("source", ",\"hash\":\"00\"", &[])),
            ("bash", derivation("bash-5.3p9", "", &[("source", "out")])),
        ];
        let all: Vec<String> = all.iter().map(|(path, text)| format!("\"{path}\":{text}")).collect();
        Derivations::read(&format!("{{{}}}", all.join(","))).unwrap()
    }

    #[test]
    fn only_what_is_in_the_table_is_filled_with_the_outputs_that_are_used() {
        let derivations = read("bash");
        let found = derivations.to_fill(&["disk"]).unwrap();
        let found: Vec<_> =
            found.iter().map(|one| (one.row.name, one.outputs.iter().copied().collect::<Vec<_>>())).collect();
        assert_eq!(
            found,
            [
                ("bash", vec!["/nix/store/bash-5.3p9"]),
                ("jq", vec!["/nix/store/jq-1.8", "/nix/store/jq-1.8-dev"])
            ]
        );
    }

    #[test]
    fn outputs_that_are_used_are_filled_by_the_row_of_each() {
        let derivations = read("bash");
        let table = Table::parse("bash debian bash\njq:dev empty\njq debian jq").unwrap();
        let found = derivations.wanted(&["disk"], &table).unwrap();
        let found: Vec<_> = found
            .iter()
            .flat_map(|one| one.outputs.iter().map(|(name, path, row)| (*name, *path, &row.by)))
            .collect();
        assert_eq!(
            found,
            [
                ("out", "/nix/store/bash-5.3p9", &By::Debian(vec!["bash".into()])),
                ("dev", "/nix/store/jq-1.8-dev", &By::Empty),
                ("out", "/nix/store/jq-1.8", &By::Debian(vec!["jq".into()])),
            ]
        );
        let error = read("source").wanted(&["disk"], &table).unwrap_err().to_string();
        assert!(error.ends_with("neither: source for a.toml"), "{error}");
    }

    #[test]
    fn what_would_be_fetched_and_is_not_in_the_table_is_named() {
        let error = read("source").to_fill(&["disk"]).unwrap_err().to_string();
        assert_eq!(error, "would be fetched, and the table of replacements has neither: source for a.toml");
    }
}
