//! The nearest valid name, for "did you mean".

/// The candidate that `word` most likely meant, or `None` if none is near.
///
/// A candidate is near if it differs by at most one edit (insertion, deletion, replacement, swap of neighbours) for
/// every three characters of the word, and at least one edit is allowed; case and `_` versus `-` are ignored. Among
/// equals the first candidate wins.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = fold(word);
    let allowed = (folded.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&folded, &fold(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn fold(word: &str) -> String {
    word.to_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested() {
        let keys = ["memory", "cpus", "disk"];
        assert_eq!(nearest("memroy", keys), Some("memory"));
        assert_eq!(nearest("Disk", keys), Some("disk"));
        assert_eq!(nearest("cpu", keys), Some("cpus"));
        assert_eq!(nearest("router-key", ["router_key"]), Some("router_key"));
    }

    #[test]
    fn nothing_is_suggested_without_a_near_name() {
        assert_eq!(nearest("bandwidth", ["memory", "cpus", "disk"]), None);
        assert_eq!(nearest("x", ["y"]), None);
        assert_eq!(nearest("", ["memory"]), None);
        assert_eq!(nearest("memory", []), None);
    }

    #[test]
    fn the_first_of_equal_candidates_wins() {
        assert_eq!(nearest("cat", ["bat", "hat"]), Some("bat"));
    }
}
