//! The real npm tools, installed once in the target folder with the image's command.

use crate::gateway::{Gateway, ask, post, status};
use crate::host::{Running, command, free_ports, has, run, text, wait_for};
use rave_guest::assets::{self, GuestFileKind, Paths, npm};
use rave_guest::config::GuestConfig;
use rave_testing::or_skip;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The tools' folder, or why this host cannot install it.
fn tools() -> Result<&'static Path, String> {
    static TOOLS: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    ["node", "npm", "unzip"].into_iter().try_for_each(has)?;
    TOOLS.get_or_init(install).as_deref().map_err(Clone::clone)
}

/// Installs beside the final place and renames. Tests run in their own processes, so one of them installs while the
/// others wait for it.
fn install() -> Result<PathBuf, String> {
    let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let lock = fs::File::create(base.join("npm-tools.lock")).unwrap();
    lock.lock().unwrap();
    let done = base.join("npm-tools-2");
    let same = |name: &str, text: &str| fs::read_to_string(done.join(name)).is_ok_and(|found| found == text);
    if same("package.json", npm::PACKAGE_JSON) && same("package-lock.json", npm::PACKAGE_LOCK) {
        return Ok(done);
    }
    let work = base.join("npm-tools-new");
    let _ = (fs::remove_dir_all(&work), fs::remove_dir_all(&done));
    fs::create_dir_all(work.join("bin")).unwrap();
    fs::write(work.join("package.json"), npm::PACKAGE_JSON).unwrap();
    fs::write(work.join("package-lock.json"), npm::PACKAGE_LOCK).unwrap();
    let flags = ["ci", "--ignore-scripts", "--omit=dev", "--os=linux", "--cpu=x64", "--libc=glibc"];
    let output = run(command("npm").args(flags).current_dir(&work));
    if !output.status.success() {
        let printed = text(&output);
        return Err(format!("npm ci failed: {}", printed.lines().last().unwrap_or_default()));
    }
    for zipped in npm::ZIPPED {
        let output =
            run(command("unzip").args(["-qo", zipped.zip, zipped.member, "-d", "bin"]).current_dir(&work));
        assert!(output.status.success(), "{}", text(&output));
        run(command("chmod").args(["0755", zipped.to]).current_dir(&work));
    }
    prune(&work, &work);
    write_own_programs(&work, &done);
    fs::rename(&work, &done).unwrap();
    Ok(done)
}

/// Writes the only command that is RAVE's own, for tools that will be in `place`.
fn write_own_programs(work: &Path, place: &Path) {
    let place = place.to_str().unwrap();
    let paths = Paths { tools: place.into(), node: "/usr/bin/env node".into(), ..Paths::debian() };
    for file in assets::files(&GuestConfig::default(), &paths) {
        let (Some(name), GuestFileKind::File { mode, content }) = (file.path.strip_prefix(place), file.kind)
        else {
            continue;
        };
        let target = work.join(name.trim_start_matches('/'));
        fs::write(&target, content).unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(mode)).unwrap();
    }
}

fn prune(root: &Path, folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap();
        let is_folder = entry.file_type().unwrap().is_dir();
        match (npm::is_dead_weight(name), is_folder) {
            (true, true) => fs::remove_dir_all(&path).unwrap(),
            (true, false) => fs::remove_file(&path).unwrap(),
            (false, true) => prune(root, &path),
            (false, false) => {}
        }
    }
}

/// Succeeds if this host's Node.js is what the tools require (`engines` of their packages).
fn has_new_node() -> Result<(), String> {
    let output = run(command("node").arg("--version"));
    let version = text(&output);
    let major = version.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
    if major.is_some_and(|major: u32| major >= 20) {
        return Ok(());
    }
    Err(format!("Node.js is {}; 20 or newer is required, as in the guest", version.trim()))
}

#[test]
fn every_command_prints_its_pinned_version_after_pruning() {
    let tools = or_skip!(tools());
    or_skip!(has_new_node());
    let home = tempfile::tempdir().unwrap();
    let pins: std::collections::BTreeMap<_, _> = npm::pins().into_iter().collect();
    for (name, flag, package) in [
        ("claude", "--version", "@anthropic-ai/claude-code"),
        ("ccr", "--version", "@musistudio/claude-code-router"),
        ("ccr", "-v", "@musistudio/claude-code-router"),
        ("npm", "--version", "npm"),
        ("npx", "--version", "npm"),
        ("pnpm", "--version", "pnpm"),
        ("yarn", "--version", "yarn"),
        ("yarnpkg", "--version", "yarn"),
    ] {
        let program = npm::COMMANDS.iter().find(|command| command.name == name).unwrap().program;
        // Through a link, as in the guest.
        let link = home.path().join(format!("{name}{flag}"));
        std::os::unix::fs::symlink(tools.join(program), &link).unwrap();
        let output = run(command(link.to_str().unwrap()).arg(flag).env("HOME", home.path()));
        assert!(
            output.status.success() && text(&output).contains(&pins[package]),
            "{name}: {}",
            text(&output)
        );
    }
}

#[test]
fn the_routers_pages_work_behind_the_gateway() {
    or_skip!(has("nginx"));
    let tools = or_skip!(tools());
    or_skip!(has_new_node());
    let gateway = Gateway::start("the-key");
    let home = gateway.folder.path().join("home");
    fs::create_dir_all(home.join(".claude-code-router")).unwrap();
    let config = format!(
        "{{\"HOST\":\"127.0.0.1\",\"PORT\":{},\"APIKEY\":\"the-key\",\"Providers\":[{{\"name\":\"a\",\
         \"api_base_url\":\"http://127.0.0.1:9\",\"api_key\":\"k\",\"models\":[\"m\"]}}]}}",
        gateway.router
    );
    fs::write(home.join(".claude-code-router/config.json"), config).unwrap();
    let program = tools.join("node_modules/@musistudio/claude-code-router/dist/cli.js");
    let mut start = command("node");
    start.arg(program).arg("start").env("HOME", &home);
    let _router = Running::start(&mut start, &gateway.folder.path().join("router.log"));
    wait_for("the router", || (status(&gateway.ask("/ccr-ui/health", "")) == "200").then_some(()));

    // The router itself requires the key; the gateway has it.
    assert_eq!(status(&ask(gateway.router, "/api/config", "")), "401");
    let answer = gateway.ask("/ccr-ui/api/config", "");
    assert!(status(&answer) == "200" && answer.contains("\"Providers\":[{"), "{answer}");
    assert!(!answer.to_lowercase().contains("access-control-allow-origin"), "{answer}");

    // The page loads our script before its own.
    let page = gateway.ask("/ccr-ui/", "");
    let ours = page.find("<script src=\"/ccr-ui/rave.js\">").expect("our script is in the page");
    let theirs = page.find("type=\"module\"").expect("the router's own script is in the page");
    assert!(ours < theirs);
    let script = gateway.ask("/ccr-ui/rave.js", "");
    assert!(status(&script) == "200" && script.contains("text/javascript"), "{script}");
    assert_eq!(status(&gateway.ask("/ccr-ui", "")), "301");
}

/// Vibe Kanban with its own home and search path. It would remove the worktrees of another one on this host.
fn kanban(tools: &Path, home: &Path, port: u16, path: &str) -> Running {
    let mut start = command("env");
    start.arg(format!("PATH={path}")).arg(tools.join("bin/vibe-kanban"));
    start.env("HOME", home).env("HOST", "127.0.0.1").env("PORT", port.to_string()).env("BROWSER", "true");
    start.env("DISABLE_WORKTREE_ORPHAN_CLEANUP", "1");
    Running::start(&mut start, &home.with_file_name("kanban.log"))
}

#[test]
fn vibe_kanban_works_behind_the_gateway() {
    or_skip!(has("nginx"));
    let tools = or_skip!(tools());
    or_skip!(has_new_node());
    let gateway = Gateway::start("k");
    let home = gateway.folder.path().join("home");
    fs::create_dir_all(&home).unwrap();
    let _running = kanban(tools, &home, gateway.kanban, "/usr/bin:/bin");
    wait_for("Vibe Kanban", || (status(&gateway.ask("/api/health", "")) == "200").then_some(()));

    let page = gateway.ask("/", "");
    let asset = page.split('"').find(|word| word.starts_with("/assets/index-")).unwrap();
    assert_eq!(status(&gateway.ask(asset, "")), "200");
    let projects = gateway.ask("/api/projects", "");
    assert!(status(&projects) == "200" && projects.contains("\"success\":true"), "{projects}");
}

/// Vibe Kanban keeps all users' worktrees in one folder of the host.
fn can_have_worktrees() -> Result<(), String> {
    let folder = Path::new("/var/tmp/vibe-kanban/worktrees");
    match fs::create_dir_all(folder).and_then(|()| tempfile::tempdir_in(folder)) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{} belongs to another user: {error}", folder.display())),
    }
}

/// Nothing is downloaded for an agent: its command is the program in the search path, which the image pins.
#[test]
fn a_vibe_kanban_task_runs_claude_from_the_search_path() {
    let tools = or_skip!(tools());
    or_skip!(can_have_worktrees());
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let profiles = home.join(".local/share/vibe-kanban/profiles.json");
    let (bin, called) = (folder.path().join("bin"), folder.path().join("called"));
    for place in [profiles.parent().unwrap(), &bin] {
        fs::create_dir_all(place).unwrap();
    }
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/kanban-profiles.json"), &profiles).unwrap();
    // The prompt comes on stdin, which stays open.
    let claude = bin.join("claude");
    fs::write(
        &claude,
        format!("#!/bin/sh\necho \"$@\" > {0}.new; mv {0}.new {0}; cat > /dev/null\n", called.display()),
    )
    .unwrap();
    fs::set_permissions(&claude, fs::Permissions::from_mode(0o755)).unwrap();
    let repository = folder.path().join("project");
    let git = "git init -q -b main . && git -c user.name=n -c user.email=e commit -q --allow-empty -m m";
    fs::create_dir(&repository).unwrap();
    let made = run(command("sh").args(["-c", git]).current_dir(&repository));
    assert!(made.status.success(), "{}", text(&made));

    let [port] = free_ports();
    let running = kanban(tools, &home, port, &format!("{}:/usr/bin:/bin", bin.display()));
    wait_for("Vibe Kanban", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());

    let project = serde_json::json!({ "name": "p", "git_repo_path": repository, "use_existing_repo": true });
    let project = post(port, "/api/projects", &project);
    let task =
        serde_json::json!({ "project_id": project["data"]["id"], "title": "t", "description": "say hello" });
    let task = post(port, "/api/tasks", &task);
    let attempt = serde_json::json!({
        "task_id": task["data"]["id"],
        "executor_profile_id": { "executor": "CLAUDE_CODE", "variant": null },
        "base_branch": "main",
    });
    let attempt = post(port, "/api/task-attempts", &attempt);
    assert_eq!(attempt["success"], true, "{attempt}");
    let arguments = wait_for("the agent", || fs::read_to_string(&called).ok());
    assert!(arguments.starts_with("-p "), "{arguments}");

    // Its worktree is outside of the home.
    drop(running);
    let worktrees =
        text(&run(command("git").args(["worktree", "list", "--porcelain"]).current_dir(&repository)));
    for worktree in worktrees.lines().filter_map(|line| line.strip_prefix("worktree ")).skip(1) {
        fs::remove_dir_all(worktree).unwrap();
    }
}
