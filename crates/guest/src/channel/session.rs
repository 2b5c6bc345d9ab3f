//! How a program of the channel runs as a user: the server starts `rave-guest session ...`, which changes its own
//! process and becomes the program. Doing this between fork and exec would need `unsafe` in the server.
#![expect(clippy::disallowed_types, reason = "it becomes the program; nothing is left to watch")]

use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::process::{Gid, Uid, geteuid, ioctl_tiocsctty, setsid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};

use super::user::User;

/// The subcommand of `rave-guest`.
pub const SUBCOMMAND: &str = "session";

/// The exit code if the program exists but could not be started (POSIX, "Exit Status for Commands").
const NOT_STARTED: u8 = 126;
/// The exit code if the program does not exist.
const NOT_FOUND: u8 = 127;

/// What to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The user.
    pub user: User,
    /// The control group to enter.
    pub cgroup: Option<String>,
    /// Whether standard input is a terminal, which becomes the session's.
    pub has_terminal: bool,
    /// The working directory; the home if absent, or the root if there is no home, as for a login.
    pub workdir: Option<String>,
    /// The names of variables that override what the login shell's profile sets. Their values are in the environment,
    /// as [`shadow`] names them.
    pub variables: Vec<String>,
    /// The program; a login shell if empty.
    pub command: Vec<String>,
}

/// The name of the variable with the value of the variable at this index of [`Session::variables`].
pub fn shadow(index: usize) -> String {
    format!("RAVE_EXEC_{index}")
}

/// Whether a shell can set this variable (POSIX, "Name").
fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with(|first: char| first.is_ascii_digit())
}

/// Why it failed.
#[derive(Debug)]
pub struct Failure {
    /// The message.
    pub why: String,
    /// The exit code.
    pub code: u8,
}

impl Session {
    /// The arguments after [`SUBCOMMAND`].
    pub fn to_arguments(&self) -> Vec<String> {
        let groups: Vec<String> = self.user.groups.iter().map(ToString::to_string).collect();
        let mut args = vec![
            self.user.name.clone(),
            self.user.uid.to_string(),
            self.user.gid.to_string(),
            groups.join(","),
            self.user.home.clone(),
            self.user.shell.clone(),
            self.cgroup.clone().unwrap_or_default(),
            if self.has_terminal { "terminal" } else { "pipes" }.to_owned(),
            self.workdir.clone().unwrap_or_default(),
            self.variables.join(","),
        ];
        args.extend(self.command.iter().cloned());
        args
    }

    /// Parses [`Session::to_arguments`].
    pub fn of_arguments(args: &[&str]) -> Option<Self> {
        let [name, uid, gid, groups, home, shell, cgroup, streams, workdir, variables, command @ ..] = args
        else {
            return None;
        };
        let groups: Option<Vec<u32>> = groups.split(',').map(|group| group.parse().ok()).collect();
        Some(Self {
            user: User {
                name: (*name).to_owned(),
                uid: uid.parse().ok()?,
                gid: gid.parse().ok()?,
                groups: groups?,
                home: (*home).to_owned(),
                shell: (*shell).to_owned(),
            },
            cgroup: (!cgroup.is_empty()).then(|| (*cgroup).to_owned()),
            has_terminal: *streams == "terminal",
            workdir: (!workdir.is_empty()).then(|| (*workdir).to_owned()),
            variables: variables.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            command: command.iter().map(ToString::to_string).collect(),
        })
    }

    /// Becomes the program; only returns if that failed.
    pub fn become_program(&self) -> Failure {
        if let Err((doing, source)) = self.enter() {
            return Failure { why: format!("cannot {doing}: {source}"), code: NOT_STARTED };
        }
        let error = self.program().exec();
        let code = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_STARTED };
        let program = self.command.first().unwrap_or(&self.user.shell);
        Failure { why: format!("cannot run {program}: {error}"), code }
    }

    fn enter(&self) -> Result<(), (String, io::Error)> {
        let failed = |doing: &str| {
            let doing = doing.to_owned();
            move |error: rustix::io::Errno| (doing, io::Error::from(error))
        };
        if let Some(cgroup) = &self.cgroup {
            let file = Path::new(cgroup).join("cgroup.procs");
            // 0 is the writing process (cgroups(7)).
            fs::write(&file, "0").map_err(|error| (format!("enter {cgroup}"), error))?;
        }
        setsid().map_err(failed("begin a session"))?;
        if self.has_terminal {
            ioctl_tiocsctty(io::stdin()).map_err(failed("take the terminal"))?;
        }
        if geteuid().is_root() {
            // This process has a single thread, so this changes the whole process.
            let groups: Vec<Gid> = self.user.groups.iter().map(|group| Gid::from_raw(*group)).collect();
            set_thread_groups(&groups).map_err(failed("set the groups"))?;
            set_thread_gid(Gid::from_raw(self.user.gid)).map_err(failed("set the group"))?;
            set_thread_uid(Uid::from_raw(self.user.uid)).map_err(failed("set the user"))?;
        }
        let enter = |folder: &str| {
            std::env::set_current_dir(folder).map_err(|error| (format!("enter the folder {folder}"), error))
        };
        match &self.workdir {
            Some(folder) => enter(folder),
            // Users of the system, such as nobody, mostly have none.
            None => enter(&self.user.home).or_else(|_| enter("/")),
        }
    }

    /// Sets the variables after the profile, and becomes the program.
    fn script(&self) -> String {
        let set = |(index, name): (usize, &String)| {
            let shadow = shadow(index);
            format!("export {name}=\"${shadow}\"; unset {shadow}; ")
        };
        let set: String = self.variables.iter().enumerate().map(set).collect();
        set + "exec \"$@\""
    }

    /// A login shell that becomes the program, or is it. Shells of another family get no script, because their syntax
    /// differs.
    fn program(&self) -> Command {
        let mut shell = Command::new(&self.user.shell);
        let name = shell_name(&self.user);
        match self.command.split_first() {
            None => {
                // Marks a login shell, login(1).
                shell.arg0(format!("-{name}"));
                shell
            }
            Some(_) if has_script(&self.user) => {
                shell.args(["-l", "-c", &self.script(), "rave"]).args(&self.command);
                shell
            }
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments);
                command
            }
        }
    }
}

fn shell_name(user: &User) -> String {
    Path::new(&user.shell).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn has_script(user: &User) -> bool {
    ["sh", "bash", "dash", "ksh", "zsh"].contains(&shell_name(user).as_str())
}

/// The variables for a program of this user that its profile must not override, and their names.
pub fn overriding(user: &User, env: &[(String, String)]) -> (Vec<(String, String)>, Vec<String>) {
    if !has_script(user) {
        return (Vec::new(), Vec::new());
    }
    let named = env.iter().filter(|(name, _)| is_name(name)).enumerate();
    named.map(|(index, (name, value))| ((shadow(index), value.clone()), name.clone())).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_round_trip() {
        let user = User {
            name: "agent".into(),
            uid: 1000,
            gid: 1001,
            groups: vec![1001, 27],
            home: "/home/agent".into(),
            shell: "/bin/bash".into(),
        };
        for (cgroup, workdir, command) in [
            (None, None, vec![]),
            (
                Some("/sys/fs/cgroup/a b".to_owned()),
                Some("/".to_owned()),
                vec!["-x".to_owned(), String::new()],
            ),
        ] {
            let variables = vec!["A".to_owned(), "_b1".to_owned()];
            let user = user.clone();
            let session = Session { user, cgroup, has_terminal: true, workdir, variables, command };
            let args = session.to_arguments();
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            assert_eq!(Session::of_arguments(&args), Some(session));
        }
        assert_eq!(Session::of_arguments(&["agent", "x"]), None);
    }
}
