//! A project copied into a sandbox with the real headless image, and an agent's changes copied back.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::command::Command;
use crate::tool::{Finished, HEADLESS, Place, finish, shared_cache, shared_out};

const NAME: &str = "demo";

struct Sandbox {
    place: Place,
}

impl Sandbox {
    fn run(&self, arguments: &[&str]) -> Finished {
        finish(&self.place.xtask(arguments))
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let done = self.run(arguments);
        done.expect_code(0);
        serde_json::from_str(&done.stdout).unwrap()
    }

    /// Runs a script in the project's folder in the guest.
    fn exec(&self, script: &str) -> String {
        let done = self.run(&["exec", NAME, "--workdir", "/home/agent/work/demo", "--", "sh", "-ec", script]);
        done.expect_code(0).stdout.clone()
    }

    fn project(&self) -> PathBuf {
        self.place.path("project")
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.project().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.project().join(name)).unwrap()
    }

    fn git(&self, arguments: &[&str]) {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=t", "-c", "user.email=t@localhost"])
            .args(arguments)
            .current_dir(self.project());
        finish(&git).expect_code(0);
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.run(&["rm", "--force", NAME]);
    }
}

fn paths(changes: &Value) -> Vec<&str> {
    changes["changes"].as_array().unwrap().iter().map(|change| change["path"].as_str().unwrap()).collect()
}

#[test]
fn an_agents_work_in_a_project_is_copied_back() {
    shared_cache(HEADLESS);
    let sandbox = Sandbox { place: Place::new() };
    sandbox.write("src/main.sh", "echo one\necho two\n");
    sandbox.write("deploy/server.key", "tracked key");
    sandbox.write(".gitignore", "target/\n.env\n");
    sandbox.git(&["init", "--quiet"]);
    sandbox.git(&["add", "--all"]);
    sandbox.git(&["commit", "--quiet", "-m", "x"]);
    sandbox.write("notes.txt", "not committed\n");
    sandbox.write(".env", "TOKEN=1");
    sandbox.write("target/big", "ignored");

    sandbox.place.share_templates();
    let mut up = sandbox.place.xtask(&["up", NAME, "--base", "debian", "--no-build", "--json", "--out"]);
    up.arg(shared_out(HEADLESS)).arg("--workspace").arg(sandbox.project());
    finish(&up)
        .expect_code(0)
        .expect_said("deploy/server.key (private key)")
        .expect_said(".env (environment variables");
    assert_eq!(sandbox.exec("git status --porcelain; git log --format=%s"), "As it was pushed\n");
    assert_eq!(
        sandbox.exec("cat notes.txt; ls -A"),
        "not committed\n.git\n.gitignore\ndeploy\nnotes.txt\nsrc\n"
    );
    assert_eq!(paths(&sandbox.json(&["diff", NAME, "--json"])), [""; 0]);

    sandbox.exec(
        "echo 'echo three' >> src/main.sh; mkdir new target; echo x > new/file; echo x > target/built; rm notes.txt; \
         echo evil > .envrc; echo 'fn main() {}' > build.rs; rm -r deploy; printf '\\033]0;title\\007' > odd; git add -A",
    );
    let changes = sandbox.json(&["diff", NAME, "--json"]);
    assert_eq!(paths(&changes), [".envrc", "build.rs", "new/file", "notes.txt", "odd", "src/main.sh"]);
    let shown = sandbox.run(&["diff", NAME]);
    assert!(shown.expect_code(0).stdout.contains("+echo three"), "{}", shown.stdout);
    assert!(
        shown.stdout.contains("+\\u{1b}]0;title\\u{7}") && !shown.stdout.contains('\u{1b}'),
        "{}",
        shown.stdout
    );

    // Both sides change files: the host's changes are sent, the guest's are kept.
    sandbox.write("src/other.sh", "echo host\n");
    sandbox.write("src/main.sh", "echo zero\necho one\necho two\n");
    sandbox.run(&["push", NAME]).expect_code(1).expect_said("src/main.sh");
    assert_eq!(sandbox.exec("cat src/other.sh; tail -n 1 src/main.sh"), "echo host\necho three\n");

    sandbox
        .run(&["apply", NAME])
        .expect_code(0)
        .expect_said(".envrc is left out")
        .expect_said("build.rs is left out");
    assert_eq!(sandbox.read("src/main.sh"), "echo zero\necho one\necho two\necho three\n");
    assert_eq!(
        (sandbox.read("new/file"), sandbox.read("deploy/server.key"), sandbox.read(".env")),
        ("x\n".into(), "tracked key".into(), "TOKEN=1".into())
    );
    for left_out in [".envrc", "build.rs", "notes.txt"] {
        assert!(!sandbox.project().join(left_out).exists(), "{left_out}");
    }
    assert_eq!(paths(&sandbox.json(&["diff", NAME, "--json"])), [".envrc", "build.rs"]);
    copies(&sandbox);

    sandbox.run(&["stop", NAME]).expect_code(0);
    sandbox.run(&["rm", NAME]).expect_code(2).expect_said("never applied").expect_said(".envrc");
    sandbox
        .run(&["apply", NAME, "--only", ".envrc", "--only", "build.rs"])
        .expect_code(0)
        .expect_said("is not running");
    assert_eq!(sandbox.read(".envrc"), "evil\n");
    sandbox.run(&["rm", NAME]).expect_code(0);
}

fn copies(sandbox: &Sandbox) {
    let folder = sandbox.project().join("src").to_string_lossy().into_owned();
    sandbox.run(&["cp", &folder, "demo:copied"]).expect_code(0);
    assert_eq!(sandbox.exec("cat ~/copied/other.sh"), "echo host\n");
    let back = sandbox.place.path("back").to_string_lossy().into_owned();
    sandbox.run(&["cp", "demo:copied", &back]).expect_code(0);
    assert_eq!(fs::read_to_string(sandbox.place.path("back/other.sh")).unwrap(), "echo host\n");
    sandbox.run(&["cp", "demo:none", &back]).expect_code(3).expect_said("the guest");
    sandbox.run(&["cp", "a", "b"]).expect_code(2).expect_said("NAME:PATH");
}
