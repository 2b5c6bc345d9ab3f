//! The sandboxes of one test, from the real headless image.

use serde_json::Value;

use crate::command::Command;
use crate::tool::{Finished, HEADLESS, Place, finish, shared_cache, shared_out};

pub(crate) struct Sandboxes {
    pub(crate) place: Place,
}

impl Sandboxes {
    /// Without a template: the first `up` makes one.
    pub(crate) fn new() -> Self {
        shared_cache(HEADLESS);
        Self { place: Place::new() }
    }

    /// With the templates of other tests.
    pub(crate) fn with_templates() -> Self {
        let sandboxes = Self::new();
        sandboxes.place.share_templates();
        sandboxes
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        finish(&self.place.xtask(arguments))
    }

    pub(crate) fn up(&self, name: &str) -> Command {
        let mut up = self.place.xtask(&["up", name, "--base", "debian", "--no-build", "--json", "--out"]);
        up.arg(shared_out(HEADLESS));
        up
    }

    /// Runs a script as root, whose programs are paused like others.
    pub(crate) fn exec(&self, name: &str, script: &str) -> Finished {
        self.run(&["exec", name, "--", "sudo", "-n", "sh", "-c", script])
    }

    /// The output of a script that succeeds.
    #[track_caller]
    pub(crate) fn text(&self, name: &str, script: &str) -> String {
        self.exec(name, script).expect_code(0).stdout.trim().to_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.run(arguments).expect_code(0).stdout).unwrap()
    }

    #[track_caller]
    pub(crate) fn row(&self, name: &str) -> Value {
        self.json(&["inspect", name, "--json"])
    }

    /// Every sandbox, by `ps`.
    #[track_caller]
    pub(crate) fn rows(&self) -> Vec<Value> {
        self.json(&["ps", "--all", "--json"]).as_array().unwrap().clone()
    }

    /// How it was started: from a template, a moment or its disk.
    #[track_caller]
    pub(crate) fn origin(&self, name: &str) -> Value {
        self.row(name)["status"]["origin"].clone()
    }

    /// The process of QEMU that was started for a sandbox, which may have no identity yet.
    pub(crate) fn qemu_of(&self, name: &str) -> Option<u32> {
        let named = format!("\0-name\0rave-{name}\0");
        self.place.processes().into_iter().find(|(_, line)| line.contains(&named)).map(|(pid, _)| pid)
    }
}

/// Their processes would outlive a test that failed.
impl Drop for Sandboxes {
    fn drop(&mut self) {
        let rows = self.run(&["ps", "--all", "--json"]);
        let rows: Value = serde_json::from_str(&rows.stdout).unwrap_or_default();
        for row in rows.as_array().into_iter().flatten() {
            self.run(&["rm", "--force", row["name"].as_str().unwrap_or_default()]);
        }
    }
}
