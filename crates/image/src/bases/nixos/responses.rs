//! Nix's JSON responses.

use serde_json::Value;

use super::error::Error;

/// One requested derivation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BuiltOutput {
    pub(super) drv_path: String,
    pub(super) out_path: String,
}

/// Information about a store path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathInfo {
    pub(super) nar_hash: String,
    pub(super) closure_size: u64,
}

/// The flake as it was built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Flake {
    /// The commit.
    pub(super) revision: Option<String>,
    /// The digest of its files.
    pub(super) nar_hash: String,
    /// Its copy in the store.
    pub(super) source: Option<String>,
}

/// From `nix build --json`: one for each attribute, in the order of the command line.
pub(super) fn built(text: &str, wanted: usize) -> Result<Vec<BuiltOutput>, Error> {
    let wrong =
        |detail: &str| Error::Answer { command: "nix build --json".into(), detail: detail.to_owned() };
    let value: Value = serde_json::from_str(text).map_err(|error| wrong(&error.to_string()))?;
    let list = value.as_array().filter(|list| list.len() == wanted);
    let list = list.ok_or_else(|| wrong(&format!("it does not have {wanted} entries")))?;
    let one = |entry: &Value| {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let drv_path = text(entry.get("drvPath"))?;
        let out_path = text(entry.get("outputs")?.get("out"))?;
        Some(BuiltOutput { drv_path, out_path })
    };
    list.iter()
        .map(|entry| one(entry).ok_or_else(|| wrong("an entry has no drvPath or no output `out`")))
        .collect()
}

/// From `nix path-info --json --closure-size`, for one path.
pub(super) fn path_info(text: &str, path: &str) -> Result<PathInfo, Error> {
    let wrong = |detail: String| Error::Answer { command: "nix path-info --json".into(), detail };
    let value: Value = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let info = find(&value, path).ok_or_else(|| wrong(format!("it does not tell of {path}")))?;
    let hash = info.get("narHash").and_then(Value::as_str);
    let size = info.get("closureSize").and_then(Value::as_u64);
    let (Some(hash), Some(closure_size)) = (hash, size) else {
        return Err(wrong(format!("narHash or closureSize of {path} is missing")));
    };
    Ok(PathInfo { nar_hash: hash.to_owned(), closure_size })
}

/// Before 2.19 a list of objects with their paths; then an object keyed by path; newer versions may nest it below
/// `info`, keyed by file name.
fn find<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    if let Some(list) = value.as_array() {
        return list.iter().find(|entry| entry.get("path").and_then(Value::as_str) == Some(path));
    }
    let map = value.get("info").unwrap_or(value);
    map.get(path).or_else(|| map.get(path.rsplit('/').next()?))
}

/// From `nix flake metadata --json`, whose fields may be missing.
pub(super) fn flake(text: &str) -> Result<Flake, Error> {
    let wrong = |detail: String| Error::Answer { command: "nix flake metadata --json".into(), detail };
    let value: Value = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let locked = value.get("locked");
    let nar_hash = text(locked.and_then(|locked| locked.get("narHash")));
    Ok(Flake {
        revision: text(value.get("revision")).or_else(|| text(value.get("dirtyRevision"))),
        nar_hash: nar_hash.or_else(|| text(value.get("fingerprint"))).unwrap_or_default(),
        source: text(value.get("path")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_outputs_are_parsed_in_order() {
        let text = r#"[{"drvPath":"/s/q.drv","outputs":{"out":"/s/q"},"startTime":1},{"drvPath":"/s/r.drv","outputs":{"out":"/s/r"}}]"#;
        let found = built(text, 2).unwrap();
        assert_eq!((found[0].drv_path.as_str(), found[1].out_path.as_str()), ("/s/q.drv", "/s/r"));
        for (text, wanted) in [("", 1), ("[]", 1), (r#"[{"drvPath":"/s/q.drv","outputs":{}}]"#, 1), (text, 1)]
        {
            assert!(matches!(built(text, wanted), Err(Error::Answer { .. })), "{text}");
        }
    }

    #[test]
    fn sizes_of_every_version_are_parsed() {
        let expected = PathInfo { nar_hash: "sha256-x".into(), closure_size: 296 };
        let info = r#"{"narHash":"sha256-x","closureSize":296}"#;
        for text in [
            format!(r#"{{"/s/a-q":{info}}}"#),
            r#"[{"path":"/s/a-q","narHash":"sha256-x","closureSize":296}]"#.to_owned(),
            format!(r#"{{"version":2,"info":{{"a-q":{info}}}}}"#),
        ] {
            assert_eq!(path_info(&text, "/s/a-q").unwrap(), expected, "{text}");
        }
        assert!(path_info(r#"{"/s/a-q":null}"#, "/s/a-q").is_err());
    }

    #[test]
    fn a_flake_may_be_dirty_or_outside_git() {
        let found =
            flake(r#"{"revision":"abc","locked":{"narHash":"sha256-y"},"path":"/s/source"}"#).unwrap();
        assert_eq!(found.revision.as_deref(), Some("abc"));
        assert_eq!((found.nar_hash.as_str(), found.source.as_deref()), ("sha256-y", Some("/s/source")));
        let found = flake(r#"{"dirtyRevision":"abc-dirty","locked":{"narHash":"z"}}"#).unwrap();
        assert_eq!(found.revision.as_deref(), Some("abc-dirty"));
        assert_eq!(
            flake(r#"{"fingerprint":"f"}"#).unwrap(),
            Flake { nar_hash: "f".into(), ..Flake::default() }
        );
    }
}
