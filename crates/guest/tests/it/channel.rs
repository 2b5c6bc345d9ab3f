//! Programs over the channel: streams, ends, terminals.

use rave_guest::channel::WINDOW;
use rave_guest::channel::frame::Kind;
use rave_guest::channel::message::{Ended, Exec, Terminal};
use rave_guest::channel::session::{SUBCOMMAND, Session};
use rave_guest::channel::user::User;

use crate::channel_host::{Channel, finish, me, read_until, shell};
use crate::host::command;

fn code(code: u8) -> Ended {
    Ended { code: Some(code), ..Ended::default() }
}

#[test]
fn stdout_and_stderr_are_separate_and_the_exit_code_is_kept() {
    let done = Channel::new().shell("echo out; echo err >&2; exit 7");
    assert_eq!((done.text().as_str(), done.stderr.as_slice()), ("out\n", b"err\n".as_slice()));
    assert_eq!(done.ended, code(7));
}

#[test]
fn arguments_are_passed_unchanged_even_beyond_one_frame() {
    let channel = Channel::new();
    let words = ["printf", "%s|", "a b", "", "$HOME", "'\"\\", "-x"].map(str::to_owned);
    let done = channel.run(Exec { command: words.into(), ..Exec::default() }, b"");
    assert_eq!(done.text(), "a b||$HOME|'\"\\|-x|");
    let long = "x".repeat(100_000);
    let done = channel.run(Exec { command: vec!["echo".into(), long.clone()], ..Exec::default() }, b"");
    assert_eq!(done.text(), format!("{long}\n"));
}

#[test]
fn more_data_than_all_windows_passes_both_ways() {
    let channel = Channel::new();
    let mut stream = channel.start(shell("cat"));
    let sender = stream.sender();
    let (credit, credits) = std::sync::mpsc::channel();
    let total = 40 * WINDOW as usize;
    let feeder = std::thread::spawn(move || {
        let mut left = WINDOW as usize;
        for piece in vec![b'z'; total].chunks(16 * 1024) {
            while left < piece.len() {
                left += credits.recv().unwrap() as usize;
            }
            left -= piece.len();
            sender.send(Kind::Stdin, piece).unwrap();
        }
        sender.send(Kind::StdinEnd, &[]).unwrap();
    });
    let mut count = 0;
    loop {
        let frame = stream.next().unwrap();
        match frame.kind {
            Kind::Stdout => {
                count += frame.payload.len();
                let length = u32::try_from(frame.payload.len()).unwrap().to_le_bytes();
                stream.sender().send(Kind::OutputCredit, &length).unwrap();
            }
            Kind::InputCredit => {
                let _ = credit.send(frame.number().unwrap());
            }
            Kind::Ended => break,
            _ => {}
        }
    }
    feeder.join().unwrap();
    assert_eq!(count, total);
}

#[test]
fn an_unread_program_blocks_no_other() {
    let channel = Channel::new();
    let mut stuck = channel.start(shell("yes"));
    read_until(&mut stuck, "y");
    assert_eq!(channel.shell("echo quick").text(), "quick\n");
    let mut bytes = 0;
    stuck.sender().send(Kind::Signal, &15_u32.to_le_bytes()).unwrap();
    // Without credit only the window arrives; with it the end arrives too.
    loop {
        let frame = stuck.next().unwrap();
        match frame.kind {
            Kind::Stdout => bytes += frame.payload.len(),
            Kind::Ended => break,
            _ => {}
        }
        if bytes >= WINDOW as usize - 16 * 1024 {
            stuck.sender().send(Kind::OutputCredit, &WINDOW.to_le_bytes()).unwrap();
            bytes = 0;
        }
    }
}

#[test]
fn a_signal_reaches_the_program_and_is_reported() {
    let channel = Channel::new();
    let mut stream =
        channel.start(shell("trap 'echo got; exit 3' USR1; echo ready; while :; do sleep 0.05; done"));
    read_until(&mut stream, "ready");
    stream.sender().send(Kind::Signal, &10_u32.to_le_bytes()).unwrap();
    let done = finish(&mut stream);
    assert_eq!((done.text().as_str(), done.ended), ("got\n", code(3)));

    let mut stream = channel.start(shell("echo ready; sleep 100"));
    read_until(&mut stream, "ready");
    stream.sender().send(Kind::Signal, &9_u32.to_le_bytes()).unwrap();
    assert_eq!(finish(&mut stream).ended, Ended { signal: Some(9), ..Ended::default() });
}

#[test]
fn folder_variables_and_login_environment_are_set() {
    let channel = Channel::new();
    let env = vec![("GREETING".to_owned(), "it's = \"1\"".to_owned())];
    let exec =
        Exec { workdir: Some("/usr".into()), env, ..shell("pwd; echo \"$GREETING\"; echo $USER $HOME") };
    let user = me();
    assert_eq!(channel.run(exec, b"").text(), format!("/usr\nit's = \"1\"\n{} /nonexistent\n", user.name));
    assert_eq!(channel.shell("pwd").text(), format!("{}\n", user.home));
}

#[test]
fn a_program_that_cannot_run_has_a_reason() {
    let channel = Channel::new();
    let run = |exec: Exec| channel.run(exec, b"");
    let command =
        |words: &[&str]| Exec { command: words.iter().map(ToString::to_string).collect(), ..Exec::default() };
    let done = run(command(&["no-such-program"]));
    assert_eq!(done.ended, code(127));
    assert!(String::from_utf8_lossy(&done.stderr).contains("no-such-program"), "{done:?}");
    let done = run(Exec { workdir: Some("/no/such".into()), ..shell("true") });
    assert_eq!(done.ended, code(126));
    assert!(String::from_utf8_lossy(&done.stderr).contains("cannot enter the folder /no/such"), "{done:?}");
    let refused = |exec| run(exec).ended.error.unwrap();
    assert!(
        refused(Exec { user: Some("nobody-here".into()), ..shell("true") })
            .contains("no user \"nobody-here\"")
    );
    assert!(refused(Exec { env: vec![("A=B".into(), String::new())], ..shell("true") }).contains("\"A=B\""));
    assert!(refused(command(&["a\0b"])).contains("NUL"));
}

#[test]
fn a_program_is_ended_at_its_time_limit() {
    let channel = Channel::new();
    let done = channel.run(Exec { timeout_ms: Some(3000), ..shell("echo begun; sleep 100") }, b"");
    assert_eq!((done.text().as_str(), done.ended.timed_out), ("begun\n", true));
    assert_eq!(done.ended.shell_code(), 124);
}

#[test]
fn a_terminal_has_its_size_and_passes_keys() {
    let channel = Channel::new();
    let terminal = |script: &str| Exec {
        terminal: Some(Terminal { rows: 31, columns: 97, kind: "xterm".into() }),
        ..shell(script)
    };
    let script =
        "stty size; tty; echo $TERM; trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done";
    let mut stream = channel.start(terminal(script));
    let text = read_until(&mut stream, "ready");
    assert!(text.contains("31 97\r\n") && text.contains("/dev/pts/") && text.contains("xterm\r\n"), "{text}");
    stream.sender().send(Kind::Resize, &[40, 0, 100, 0]).unwrap();
    read_until(&mut stream, "40 100");
    // The terminal handles Ctrl-C.
    stream.sender().send(Kind::Stdin, &[3]).unwrap();
    assert_eq!(finish(&mut stream).ended, Ended { signal: Some(2), ..Ended::default() });

    let done = channel.run(terminal("cat; echo end"), b"line\n");
    assert!(done.text().ends_with("line\r\nend\r\n"), "{:?}", done.text());
    assert_eq!(done.ended, code(0));
}

#[test]
fn the_end_of_input_ends_an_incomplete_line_of_a_terminal() {
    let channel = Channel::new();
    let terminal = Some(Terminal { rows: 24, columns: 80, kind: "dumb".into() });
    let done = channel.run(Exec { terminal, timeout_ms: Some(20_000), ..shell("cat; echo end") }, b"abc");
    assert!(done.text().ends_with("abcend\r\n"), "{:?}", done.text());
    assert_eq!(done.ended, code(0));
}

#[test]
fn all_output_arrives_however_late_the_host_reads_it() {
    let channel = Channel::new();
    let total = WINDOW as usize + 50_000;
    let mut stream = channel.start(shell(&format!("head -c {total} /dev/zero")));
    let mut count = 0;
    while count < WINDOW as usize {
        let frame = stream.next().unwrap();
        assert_ne!(frame.kind, Kind::Ended);
        if frame.kind == Kind::Stdout {
            count += frame.payload.len();
        }
    }
    // The program has ended, and the rest is in its pipe.
    std::thread::sleep(std::time::Duration::from_millis(600));
    stream.sender().send(Kind::OutputCredit, &WINDOW.to_le_bytes()).unwrap();
    let done = finish(&mut stream);
    assert_eq!((count + done.stdout.len(), done.ended), (total, code(0)));
}

#[test]
fn given_variables_override_those_of_the_profile() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join(".profile"), "export A=profile B=profile\n").unwrap();
    let value = "mine's $A \"x\"\n$(false)";
    let home = home.path().to_str().unwrap().to_owned();
    let env = vec![
        ("HOME".to_owned(), home),
        ("A".to_owned(), value.to_owned()),
        ("a-b".to_owned(), "1".to_owned()),
    ];
    let command = ["sh", "-c", "printf '%s|' \"$A\" \"$B\"; env | grep -c RAVE_EXEC"].map(str::to_owned);
    let done = Channel::new().run_as_given(Exec { command: command.into(), env, ..Exec::default() });
    assert_eq!(done.text(), format!("{value}|profile|0\n"));
}

#[test]
fn a_user_without_a_home_starts_at_the_root() {
    let session = |workdir: Option<&str>| {
        let user = User { home: "/nonexistent".into(), ..me() };
        let workdir = workdir.map(str::to_owned);
        let command_line = vec!["pwd".to_owned()];
        let session = Session {
            user,
            cgroup: None,
            has_terminal: false,
            workdir,
            variables: Vec::new(),
            command: command_line,
        };
        let arguments = std::iter::once(SUBCOMMAND.to_owned()).chain(session.to_arguments());
        let done = command(env!("CARGO_BIN_EXE_rave-guest")).args(arguments).output().unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    };
    assert_eq!(session(None), (Some(0), "/\n".to_owned()));
    assert_eq!(session(Some("/usr")), (Some(0), "/usr\n".to_owned()));
    assert_eq!(session(Some("/nonexistent/work")), (Some(126), String::new()));
}

#[test]
fn a_relative_folder_starts_at_the_home() {
    let exec = |workdir: &str| Exec {
        command: vec!["pwd".into()],
        workdir: Some(workdir.into()),
        ..Exec::default()
    };
    let channel = Channel::new();
    let home = std::fs::canonicalize(me().home).unwrap();
    assert_eq!(channel.run(exec("."), b"").text().trim(), home.to_str().unwrap());
    assert_eq!(channel.run(exec("/usr"), b"").text(), "/usr\n");
}
