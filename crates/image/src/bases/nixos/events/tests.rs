use proptest::prelude::*;

use super::*;

fn read(lines: &[&str]) -> Vec<NixEvent> {
    let (mut events, mut reader) = (Vec::new(), Reader::default());
    for line in lines {
        reader.take(line, &mut |event| events.push(event));
    }
    reader.finish(&mut |event| events.push(event));
    events
}

fn errors(events: &[NixEvent]) -> Vec<&str> {
    let of = |event| match event {
        &NixEvent::Message { level: Level::Error, ref text } => Some(text.as_str()),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

/// Lines printed by nix 2.26.3 for a build, a failed build and a failed evaluation.
const RECORDED: &str = include_str!("recorded.txt");

#[test]
fn all_recorded_lines_are_parsed() {
    let lines: Vec<&str> = RECORDED.lines().collect();
    let events = read(&lines);
    let builds = events
        .iter()
        .filter(|event| matches!(event, NixEvent::Started { kind: ActivityKind::Build, drv: Some(_), .. }));
    assert_eq!(builds.count(), 4);
    let logs = events.iter().filter(|event| matches!(event, NixEvent::Log { .. })).count();
    let errors = errors(&events);
    assert_eq!((logs, errors.len()), (8, 3), "{errors:#?}");
    assert!(errors[0].contains("-bad.drv' failed with exit code 3"), "{}", errors[0]);
    assert!(
        errors[2].ends_with("error: the configuration is wrong\n       rave.toml: bad thing"),
        "{}",
        errors[2]
    );
    assert!(errors.iter().all(|error| !error.contains('\u{1b}')));
}

#[test]
fn split_lines_are_joined() {
    let long = "x".repeat(30_000);
    let line = format!(r#"@nix {{"action":"msg","level":0,"msg":"error: {long}"}}"#);
    let pieces: Vec<&str> = line
        .as_bytes()
        .chunks(rave_process::MAX_LINE)
        .map(|piece| std::str::from_utf8(piece).unwrap())
        .collect();
    let events = read(&pieces);
    assert_eq!(errors(&events), [format!("error: {long}")]);
}

#[test]
fn a_truncated_error_is_shown_up_to_the_cut() {
    let line = r#"@nix {"action":"msg","column":null,"level":0,"line":null,"msg":"\u001b[31;1merror:\u001b[0m no \ud83d"#;
    for next in [&[][..], &[r#"@nix {"action":"stop","id":1}"#][..]] {
        let events = read(&[&[line][..], next].concat());
        assert_eq!(errors(&events), ["error: no "], "{events:?}");
    }
}

#[test]
fn plain_text_errors_are_detected() {
    assert_eq!(errors(&read(&["error: unrecognised flag '--json'", "Try 'nix --help'."])).len(), 1);
    assert_eq!(errors(&read(&[r#"@nix {"action":"msg","msg":"error: no level"}"#])), ["error: no level"]);
    assert_eq!(errors(&read(&[r#"@nix {"action":"msg","level":0}"#])).len(), 1);
    assert_eq!(errors(&read(&[r#"@nix {"action":"msg","level":0,"msg":"error: a"}}"#])), ["error: a"]);
}

/// A complete line, a damaged one, or arbitrary text.
fn line() -> impl Strategy<Value = String> {
    let recorded: Vec<&str> = RECORDED.lines().collect();
    let whole = proptest::sample::select(recorded).prop_map(str::to_owned);
    let unknown = whole.clone().prop_map(|line| {
        line.replacen('{', r#"{"new":[{"a":1.5}],"#, 1)
            .replace(r#""type":105"#, r#""type":99999999999999999999"#)
    });
    let cut = (whole.clone(), any::<proptest::sample::Index>()).prop_map(|(line, at)| {
        let end = at.index(line.len());
        line.chars().take(end).collect()
    });
    let odd = proptest::sample::select(vec![
        r#"@nix {"action":"result","id":1,"type":101}"#,
        r#"@nix {"action":"result","id":-1,"fields":[{}],"type":105}"#,
        r#"@nix {"action":"start","id":18446744073709551615,"type":105,"fields":"x"}"#,
        r#"@nix {"action":"result","id":3,"fields":[18446744073709551615,1],"type":105}"#,
        "@nix ",
        "@nix null",
        "@nix [",
        "@nix {}",
        "",
    ]);
    prop_oneof![4 => whole, 2 => unknown, 2 => cut, 2 => odd.prop_map(str::to_owned), 1 => ".*"]
}

proptest! {
    /// A complete error is always reported in full, whatever surrounds it.
    #[test]
    fn an_error_survives_any_order_of_lines(before in prop::collection::vec(line(), 0..12), after in prop::collection::vec(line(), 0..12)) {
        let error = r#"@nix {"action":"msg","column":null,"file":null,"level":0,"line":null,"msg":"\u001b[31;1merror:\u001b[0m THE ONE","raw_msg":"THE ONE"}"#;
        let lines: Vec<&str> = before.iter().map(String::as_str).chain([error]).chain(after.iter().map(String::as_str)).collect();
        let events = read(&lines);
        prop_assert!(errors(&events).contains(&"error: THE ONE"), "{:?}", events);
    }

    /// A truncated error is reported with all of its available text.
    #[test]
    fn truncation_never_hides_an_error(at in 80_usize..130, after in prop::collection::vec(line(), 0..4)) {
        let error = r#"@nix {"action":"msg","column":null,"file":null,"level":0,"line":null,"msg":"error: a text that goes on and on, and on","raw_msg":"a"}"#;
        let start = error.find("error: ").unwrap();
        let cut = &error[..at.max(start + 7).min(error.len())];
        let lines: Vec<&str> = [cut].into_iter().chain(after.iter().map(String::as_str)).collect();
        let events = read(&lines);
        let expected = cut[start..].split('"').next().unwrap();
        prop_assert!(errors(&events).iter().any(|text| text.starts_with(expected)), "{:?}", events);
    }
}
