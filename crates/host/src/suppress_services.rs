//! Runs apt without starting services: tests need the programs nginx and sshd, but nobody wants two servers that listen
//! on all addresses of a workstation, now or after its next start.
//!
//! Unpacking the packages elsewhere would not require root, but sshd refuses to print its settings without the user
//! that its package creates. Masking the units would prevent the user from starting them later.

/// invoke-rc.d(8), INIT SCRIPT POLICY.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Wraps `apt` so that it starts and enables none of `units`.
pub(crate) fn without(units: &[&str], apt: Vec<String>) -> Vec<String> {
    wrapped(POLICY, units, apt)
}

fn wrapped(policy: &str, units: &[&str], command: Vec<String>) -> Vec<String> {
    if units.is_empty() {
        return command;
    }
    let start = ["sh", "-c", include_str!("suppress_services.sh"), "sh", policy, &units.join(" ")];
    start.map(str::to_owned).into_iter().chain(command).collect()
}

/// The command with the same effect after another program ran apt.
pub(crate) fn disable(units: &[&str]) -> Vec<String> {
    ["systemctl", "disable", "--now"].iter().chain(units).map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::{Utf8Path, Utf8PathBuf};
    use rave_process::Cmd;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    /// Runs `script` instead of apt, with a `systemctl` that only records its arguments.
    fn run(folder: &Utf8Path, script: &str) -> (Vec<String>, Utf8PathBuf) {
        let systemctl = folder.join("systemctl");
        fs::write(&systemctl, format!("#!/bin/sh\necho \"$*\" >> {folder}/asked\n")).unwrap();
        fs::set_permissions(&systemctl, fs::Permissions::from_mode(0o755)).unwrap();
        let policy = folder.join("policy-rc.d");
        let command = ["sh", "-c", script, policy.as_str()].map(str::to_owned).to_vec();
        let argv = wrapped(policy.as_str(), &["nginx.service", "ssh.service", "ssh.socket"], command);
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
        let output = Cmd::new(&argv[0]).args(&argv[1..]).env("PATH", path).output().unwrap();
        (output.text().lines().map(str::to_owned).collect(), policy)
    }

    /// Queries the policy like deb-systemd-invoke and invoke-rc.d.
    const ASK: &str = r#"for words in "nginx.service start" "ssh start" "ssh.socket restart" "cron.service start"
        do $0 $words; echo "$words: $?"; done"#;

    #[test]
    fn only_named_services_are_suppressed_during_the_command() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let (answers, policy) = run(folder, ASK);
        assert_eq!(
            answers,
            [
                "nginx.service start: 101",
                "ssh start: 101",
                "ssh.socket restart: 101",
                "cron.service start: 0"
            ]
        );
        assert!(!policy.exists());
        let asked = fs::read_to_string(folder.join("asked")).unwrap();
        assert_eq!(asked, "disable nginx.service\ndisable ssh.service\ndisable ssh.socket\n");
    }

    #[test]
    fn an_existing_policy_of_the_administrator_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let own = "#!/bin/sh\nexit 104\n";
        fs::write(folder.join("policy-rc.d"), own).unwrap();
        fs::set_permissions(folder.join("policy-rc.d"), fs::Permissions::from_mode(0o755)).unwrap();
        let (answers, policy) = run(folder, "$0 nginx start; echo $?");
        assert_eq!((answers, fs::read_to_string(policy).unwrap()), (vec!["104".to_owned()], own.to_owned()));
    }

    #[test]
    fn a_leftover_policy_suppresses_nothing_and_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        // The copy has another name, which nobody removes, and its process has ended when it is queried.
        run(folder, "cp $0 $0.left");
        let left = folder.join("policy-rc.d.left");
        assert!(Cmd::new(left.as_str()).args(["nginx.service", "start"]).output().is_ok());
        fs::rename(&left, folder.join("policy-rc.d")).unwrap();
        let (answers, policy) = run(folder, "$0 nginx start; echo $?");
        assert_eq!((answers, policy.exists()), (vec!["101".to_owned()], false));
    }

    #[test]
    fn a_command_without_units_is_unchanged() {
        assert_eq!(without(&[], vec!["apt-get".into()]), ["apt-get"]);
        assert_eq!(disable(&["nginx.service"]).join(" "), "systemctl disable --now nginx.service");
    }
}
