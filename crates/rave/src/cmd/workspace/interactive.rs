//! `apply --interactive`: a question for each hunk.

use std::collections::BTreeMap;

use rave_workspace::BytePath;
use rave_workspace::apply::Wanted;
use rave_workspace::blobs::Blobs;
use rave_workspace::changes::{Change, Status, pair};
use rave_workspace::hunks::Texts;

use super::show;
use crate::ui::Ui;

const HELP: &str = "y: take it, n: leave it, a: take it and the rest of the file, d: leave it and the rest of the file, q: leave it and all that follows";

/// Asks which changes to take, and which hunks of them.
pub(super) fn ask(
    changes: Vec<Change>,
    blobs: &Blobs,
    ui: &Ui,
) -> anyhow::Result<BTreeMap<BytePath, (Change, Wanted)>> {
    let mut wanted = BTreeMap::new();
    ui.note(HELP);
    for change in changes {
        match ask_about(&change, blobs, ui)? {
            Answer::Take(what) => drop(wanted.insert(change.path.clone(), (change, what))),
            Answer::Leave => {}
            Answer::Quit => break,
        }
    }
    Ok(wanted)
}

enum Answer {
    Take(Wanted),
    Leave,
    Quit,
}

fn ask_about(change: &Change, blobs: &Blobs, ui: &Ui) -> anyhow::Result<Answer> {
    let mut head = show::head(change);
    if let Some(held) = &change.held {
        let why = rave_workspace::escape::escaped(held.why.as_bytes());
        head = format!("{head}  held back: {why}\n");
    }
    ui.data(&head);
    let pair = if change.status == Status::Modified { pair(change, blobs)? } else { None };
    let Some(pair) = pair.filter(|_| change.before.as_ref().is_some_and(|entry| entry.content().is_some()))
    else {
        // Without lines there are no hunks to choose from.
        if change.lines.is_some() {
            ui.data(&show::hunks(change, blobs)?);
        }
        return Ok(match ui.ask_letter("take it? [y,n,q]", "ynadq") {
            Some('y' | 'a') => Answer::Take(Wanted::Whole),
            Some('n' | 'd') => Answer::Leave,
            _ => Answer::Quit,
        });
    };
    let texts = Texts::new(&pair.before, &pair.after);
    let hunks = texts.hunks();
    let mut taken = vec![false; hunks.len()];
    let mut quits = false;
    for (number, hunk) in hunks.iter().enumerate() {
        ui.data(&show::hunk(&texts, hunk));
        let question = format!("({}/{}) take this hunk? [y,n,a,d,q]", number + 1, hunks.len());
        match ui.ask_letter(&question, "ynadq") {
            Some('y') => taken[number] = true,
            Some('n') => {}
            Some('a') => {
                taken[number..].fill(true);
                break;
            }
            Some('d') => break,
            _ => {
                quits = true;
                break;
            }
        }
    }
    Ok(match (taken.iter().all(|taken| *taken), taken.iter().any(|taken| *taken)) {
        (true, true) => Answer::Take(Wanted::Whole),
        (_, true) => Answer::Take(Wanted::Text(texts.with(&|number| taken.get(number) == Some(&true)))),
        _ if quits => Answer::Quit,
        _ => Answer::Leave,
    })
}
