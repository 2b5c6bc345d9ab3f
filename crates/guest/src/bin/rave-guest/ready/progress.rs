//! Keeps track of what was reported, and finds the news in each check. Pure, so that each course of a boot has a test.

use rave_guest::protocol::{GuestEvent, GuestStage, StageState};
use std::collections::BTreeMap;

/// The result of a check for one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StageReport {
    pub(super) stage: GuestStage,
    pub(super) state: StageState,
    pub(super) detail: String,
    pub(super) host_keys: Vec<String>,
}

/// The progress of the boot.
#[derive(Debug, Default)]
pub(super) struct Progress {
    reported: BTreeMap<GuestStage, (StageState, String)>,
}

/// An event without time and boot ID, which the sender adds.
pub(super) fn event(stage: GuestStage, state: StageState, detail: impl Into<String>) -> GuestEvent {
    GuestEvent {
        stage,
        state,
        detail: detail.into(),
        uptime_ms: 0,
        boot_id: String::new(),
        host_keys: Vec::new(),
    }
}

impl Progress {
    /// Records a stage as reached, and returns its event.
    pub(super) fn reached(&mut self, stage: GuestStage, detail: &str) -> GuestEvent {
        self.reported.insert(stage, (StageState::Ok, detail.to_owned()));
        event(stage, StageState::Ok, detail)
    }

    /// Whether a stage was reached; it is not checked again.
    pub(super) fn is_reached(&self, stage: GuestStage) -> bool {
        matches!(self.reported.get(&stage), Some((StageState::Ok, _)))
    }

    /// Whether everything was reached and reported.
    pub(super) fn is_ready(&self) -> bool {
        self.is_reached(GuestStage::Ready)
    }

    /// The news in the results, and the resulting state of the whole boot.
    pub(super) fn update(&mut self, seen: Vec<StageReport>) -> Vec<GuestEvent> {
        let mut news = Vec::new();
        for StageReport { stage, state, detail, host_keys } in seen {
            let now = (state, detail);
            if self.reported.get(&stage) != Some(&now) {
                news.push(GuestEvent { host_keys, ..event(stage, state, now.1.clone()) });
                self.reported.insert(stage, now);
            }
        }
        let (state, detail) = self.overall();
        let now = (state, detail.clone());
        if self.reported.get(&GuestStage::Ready) != Some(&now) {
            news.push(event(GuestStage::Ready, state, detail));
            self.reported.insert(GuestStage::Ready, now);
        }
        news
    }

    /// The stages that were not reached yet, except the last, for people.
    pub(super) fn open(&self) -> String {
        let open =
            GuestStage::ALL.iter().filter(|stage| **stage != GuestStage::Ready && !self.is_reached(**stage));
        let open: Vec<&str> = open.map(|stage| stage.name()).collect();
        if open.is_empty() { "every stage was reached".into() } else { format!("open: {}", open.join(", ")) }
    }

    /// The state of the last stage follows from the others. A machine without a network is ready too.
    fn overall(&self) -> (StageState, String) {
        let needed = GuestStage::ALL.iter().filter(|stage| **stage != GuestStage::Ready);
        let mut failed = Vec::new();
        let mut waiting = false;
        for stage in needed {
            match (stage, self.reported.get(stage).map(|(state, _)| *state)) {
                (_, Some(StageState::Ok)) | (GuestStage::Network, Some(StageState::Failed)) => {}
                (_, Some(StageState::Failed)) => failed.push(stage.name()),
                (_, Some(StageState::Waiting) | None) => waiting = true,
            }
        }
        match (waiting, failed.is_empty()) {
            (true, _) => (StageState::Waiting, self.open()),
            (false, false) => (StageState::Failed, format!("failed: {}", failed.join(", "))),
            (false, true) if self.is_reached(GuestStage::Network) => {
                (StageState::Ok, "every stage was reached".into())
            }
            (false, true) => (StageState::Ok, "ready, without a network".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(stage: GuestStage, state: StageState, detail: &str) -> StageReport {
        StageReport { stage, state, detail: detail.into(), host_keys: Vec::new() }
    }

    fn all_but(stage: GuestStage) -> Vec<StageReport> {
        let others =
            GuestStage::ALL.into_iter().filter(|other| *other != stage && *other != GuestStage::Ready);
        others.map(|other| observed(other, StageState::Ok, "")).collect()
    }

    fn last(news: &[GuestEvent]) -> (GuestStage, StageState, &str) {
        let event = news.last().unwrap();
        (event.stage, event.state, &event.detail)
    }

    #[test]
    fn each_change_is_reported_once_and_ready_is_last() {
        let mut progress = Progress::default();
        let news = progress.update(all_but(GuestStage::Kanban));
        assert_eq!(last(&news), (GuestStage::Ready, StageState::Waiting, "open: kanban"));
        let waiting =
            observed(GuestStage::Kanban, StageState::Waiting, "vibe-kanban.service is activating (start)");
        assert_eq!(progress.update(vec![waiting.clone()]).len(), 1);
        assert_eq!(progress.update(vec![waiting]), Vec::new());
        let news = progress.update(vec![observed(GuestStage::Kanban, StageState::Ok, "answers")]);
        assert_eq!(news.len(), 2);
        assert_eq!(last(&news), (GuestStage::Ready, StageState::Ok, "every stage was reached"));
        assert!(progress.is_ready());
    }

    #[test]
    fn a_failure_is_reported_once_nothing_else_is_pending() {
        let mut progress = Progress::default();
        progress.update(all_but(GuestStage::Kanban));
        let news = progress.update(vec![observed(GuestStage::Kanban, StageState::Failed, "start-limit-hit")]);
        assert_eq!(last(&news), (GuestStage::Ready, StageState::Failed, "failed: kanban"));
        assert!(!progress.is_ready());
        let news = progress.update(vec![observed(GuestStage::Kanban, StageState::Ok, "answers")]);
        assert_eq!(last(&news).1, StageState::Ok);
    }

    #[test]
    fn a_missing_network_is_reported_but_blocks_nothing() {
        let mut progress = Progress::default();
        progress.update(all_but(GuestStage::Network));
        assert!(!progress.is_ready(), "it is waited for");
        let news = progress.update(vec![observed(GuestStage::Network, StageState::Failed, "no address")]);
        assert_eq!(last(&news), (GuestStage::Ready, StageState::Ok, "ready, without a network"));
    }
}
