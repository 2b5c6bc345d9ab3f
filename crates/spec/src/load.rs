//! Reads and merges all layers.

use crate::document::Document;
use crate::reader::{Reader, Section};
use crate::{ConfigFile, Errors, Origins, Place, Spec, environment, parse};

/// The merged layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The values.
    pub spec: Spec,
    /// The origin of each value.
    pub origins: Origins,
}

/// Reads the files, lowest priority first, and then the environment, of which only `RAVE_*` is used.
///
/// # Errors
/// All errors of all layers, in the order of files, lines and columns, then the variables.
pub fn load(files: &[ConfigFile<'_>], env: &[(String, String)]) -> Result<Loaded, Errors> {
    let documents: Vec<_> = files.iter().map(Document::parse).collect();
    let (variables, mut diagnostics) = environment::read(env);
    diagnostics.extend(documents.iter().flat_map(|document| document.diagnostics.iter().cloned()));
    let mut reader = Reader::new(variables, diagnostics);
    let spec = parse::spec(Section::root(&documents), &mut reader);
    let Reader { mut diagnostics, origins, .. } = reader;
    match spec {
        Some(spec) if diagnostics.is_empty() => Ok(Loaded { spec, origins }),
        _ => {
            let order = |place: &Place| match place {
                Place::File { file, line, column } => {
                    (files.iter().position(|source| source.name == file), *line, *column)
                }
                Place::Variable(_) => (Some(files.len()), 0, 0),
            };
            diagnostics.sort_by_key(|diagnostic| order(&diagnostic.place));
            Err(Errors(diagnostics))
        }
    }
}
