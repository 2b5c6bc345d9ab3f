//! A workflow as types: the part of GitHub's syntax that the workflows use. An unknown key is an error, so that nothing
//! escapes the tests.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A file of `.github/workflows`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Workflow {
    pub(super) name: String,
    pub(super) on: Triggers,
    pub(super) permissions: BTreeMap<String, String>,
    /// The same for every step.
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    pub(super) concurrency: Concurrency,
    pub(super) jobs: BTreeMap<String, Job>,
}

/// Its triggers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Triggers {
    pub(super) push: Option<Push>,
    #[serde(rename = "pull_request")]
    pub(super) _pull_request: Option<()>,
    pub(super) workflow_dispatch: Option<Dispatch>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Push {
    pub(super) branches: Vec<String>,
}

/// A manual start.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dispatch {
    #[serde(default)]
    pub(super) inputs: BTreeMap<String, Input>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    pub(super) description: String,
    pub(super) default: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Concurrency {
    pub(super) group: String,
    #[serde(rename = "cancel-in-progress")]
    pub(super) _cancel_in_progress: Scalar,
}

/// One job; with a matrix it runs several times.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Job {
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) needs: Needs,
    /// The environment whose secrets the job gets after an approval.
    pub(super) environment: Option<String>,
    pub(super) runs_on: String,
    pub(super) timeout_minutes: u32,
    #[serde(default)]
    pub(super) outputs: BTreeMap<String, String>,
    pub(super) strategy: Option<Strategy>,
    /// Absent if the workflow's permissions are already minimal.
    pub(super) permissions: Option<BTreeMap<String, String>>,
    pub(super) steps: Vec<Step>,
}

/// The jobs that must run first.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
pub(super) enum Needs {
    #[default]
    None,
    One(String),
    All(Vec<String>),
}

impl Needs {
    pub(super) fn names(&self) -> Vec<&str> {
        match self {
            Self::None => Vec::new(),
            Self::One(name) => vec![name],
            Self::All(names) => names.iter().map(String::as_str).collect(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Strategy {
    #[serde(rename = "fail-fast")]
    pub(super) _fail_fast: bool,
    /// An expression: a literal list in a workflow would be a duplicate.
    pub(super) matrix: String,
}

/// An action or a script.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) name: Option<String>,
    pub(super) id: Option<String>,
    #[serde(rename = "if")]
    pub(super) condition: Option<String>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    /// `OWNER/NAME@COMMIT`.
    pub(super) uses: Option<String>,
    /// The inputs of the action.
    #[serde(default)]
    pub(super) with: BTreeMap<String, Scalar>,
    /// Lines for bash.
    pub(super) run: Option<String>,
}

/// A value of `with`, which an action gets as text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Scalar {
    Bool(bool),
    Number(i64),
    Text(String),
}

impl Scalar {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
            Self::Text(value) => value.clone(),
        }
    }
}
