//! What `nix --log-format internal-json` prints, as events.
//!
//! Lines are `@nix ` and an object; the numbers of its types are those of nix's `src/libutil/logging.hh`. Newer types
//! and unknown fields are ignored, but never anything that could be an error.

use rave_process::MAX_LINE;
use serde_json::Value;

use super::text::plain;

/// The longest line that is reassembled from pieces, bytes: `rave-process` cuts at [`MAX_LINE`], and traces are longer.
const MAX_MESSAGE: usize = 4 << 20;

/// The minimum length of a piece: it is cut before a character of up to four bytes.
const MIN_PIECE: usize = MAX_LINE - 4;

/// The prefix of each line.
const MARK: &str = "@nix ";

/// The kinds of activities that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActivityKind {
    /// A path is copied between stores (100).
    CopyPath,
    /// A file is downloaded or uploaded (101).
    FileTransfer,
    /// All builds (104).
    Builds,
    /// One build (105); its first field is the derivation.
    Build,
    /// Paths are realised in the store, by any means (102).
    Realise,
    /// Anything else.
    Other,
}

/// The importance of a message: nix's `Verbosity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// 0: the causes of a failure.
    Error,
    /// 1 and 2.
    Warning,
    /// 3 and beyond.
    Info,
}

/// One event of nix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NixEvent {
    /// An activity began.
    Started {
        /// Its number.
        id: u64,
        /// Its kind.
        kind: ActivityKind,
        /// The text that nix would show.
        text: String,
        /// The derivation, of a build.
        drv: Option<String>,
    },
    /// It ended, successfully or not.
    Stopped {
        /// Its number.
        id: u64,
    },
    /// A build printed a line.
    Log {
        /// The build.
        id: u64,
        /// The line.
        line: String,
    },
    /// An activity made progress.
    Progress {
        /// Its number.
        id: u64,
        /// How much is done; the unit depends on the activity.
        done: u64,
        /// How much there is in total.
        expected: u64,
    },
    /// An activity announces how much others will do.
    Expected {
        /// Its number.
        id: u64,
        /// The kind of the others.
        kind: ActivityKind,
        /// How much.
        amount: u64,
    },
    /// A message.
    Message {
        /// Its importance.
        level: Level,
        /// One or more lines, without escape sequences.
        text: String,
    },
}

/// Reassembles and parses lines.
#[derive(Debug, Default)]
pub struct Reader {
    /// The beginning of an incomplete line.
    pending: String,
}

impl Reader {
    /// Takes a line, or a piece of a line that was too long.
    pub fn take(&mut self, line: &str, emit: &mut dyn FnMut(NixEvent)) {
        if line.starts_with(MARK) {
            self.give_up(emit);
        } else if !self.pending.is_empty() {
            self.pending.push_str(line);
            self.try_pending(line.len(), emit);
            return;
        }
        match line.strip_prefix(MARK) {
            Some(object) => {
                object.clone_into(&mut self.pending);
                self.try_pending(line.len(), emit);
            }
            // Output of programs that nix runs, and of nix itself before its logger starts or when it crashes.
            None => emit(plain_message(line)),
        }
    }

    /// The end of the output.
    pub fn finish(mut self, emit: &mut dyn FnMut(NixEvent)) {
        self.give_up(emit);
    }

    fn try_pending(&mut self, last_piece: usize, emit: &mut dyn FnMut(NixEvent)) {
        match serde_json::from_str::<Value>(&self.pending) {
            Ok(value) => {
                self.pending.clear();
                if let Some(event) = event(&value) {
                    emit(event);
                }
            }
            Err(error) if error.is_eof() && last_piece >= MIN_PIECE && self.pending.len() < MAX_MESSAGE => {}
            Err(_) => self.give_up(emit),
        }
    }

    /// The line will not be completed: its content is reported if it may be an error.
    fn give_up(&mut self, emit: &mut dyn FnMut(NixEvent)) {
        let text = std::mem::take(&mut self.pending);
        if !text.is_empty() {
            salvage(&text).into_iter().for_each(emit);
        }
    }
}

fn plain_message(line: &str) -> NixEvent {
    let text = plain(line);
    let level = if text.trim_start().starts_with("error:") { Level::Error } else { Level::Info };
    NixEvent::Message { level, text }
}

/// The message of a truncated or malformed object. Keys are in alphabetical order, so `level` precedes `msg`.
fn salvage(object: &str) -> Option<NixEvent> {
    const MSG: &str = "\"msg\":\"";
    let level = [("\"level\":0", Level::Error), ("\"level\":1", Level::Warning)];
    let level =
        level.into_iter().find(|(key, _)| object.contains(key)).map_or(Level::Info, |(_, level)| level);
    let text = match object.find(MSG) {
        Some(start) => plain(&unescaped(&object[start + MSG.len() - 1..])),
        // Without a message, report whatever exists of a possible error.
        None if level == Level::Error && object.contains("\"action\":\"msg\"") => plain(object),
        None if object.contains("error:") => plain(object),
        None => return None,
    };
    let level = if text.contains("error:") { Level::Error } else { level };
    Some(NixEvent::Message { level, text })
}

/// The text of a JSON string that begins with a quote and may end anywhere.
fn unescaped(quoted: &str) -> String {
    if let Some(Ok(whole)) = serde_json::Deserializer::from_str(quoted).into_iter::<String>().next() {
        return whole;
    }
    // An escape may be truncated: the longest is a pair of surrogates, 12 characters.
    let mut ends = quoted.char_indices().rev().map(|(at, c)| at + c.len_utf8()).take(13);
    ends.find_map(|end| serde_json::from_str(&format!("{}\"", &quoted[..end])).ok())
        .unwrap_or_else(|| quoted.trim_start_matches('"').to_owned())
}

fn event(value: &Value) -> Option<NixEvent> {
    let number = |key: &str| value.get(key).and_then(Value::as_u64);
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let field = |at: usize| value.get("fields").and_then(|fields| fields.get(at));
    let count = |at: usize| field(at).and_then(Value::as_u64);
    match text("action")? {
        "start" => {
            let kind = kind(number("type").unwrap_or_default());
            let drv = (kind == ActivityKind::Build)
                .then(|| field(0).and_then(Value::as_str).map(str::to_owned))
                .flatten();
            Some(NixEvent::Started {
                id: number("id")?,
                kind,
                text: plain(text("text").unwrap_or_default()),
                drv,
            })
        }
        "stop" => Some(NixEvent::Stopped { id: number("id")? }),
        "msg" => Some(message(value)),
        "result" => {
            let id = number("id")?;
            match number("type")? {
                // A line of a build, or of its post-build hook.
                101 | 107 => Some(NixEvent::Log { id, line: plain(field(0)?.as_str()?) }),
                105 => Some(NixEvent::Progress { id, done: count(0)?, expected: count(1)? }),
                106 => Some(NixEvent::Expected { id, kind: kind(count(0)?), amount: count(1)? }),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Parses a message even if fields are missing.
fn message(value: &Value) -> NixEvent {
    let text = ["msg", "raw_msg"].into_iter().find_map(|key| value.get(key)?.as_str());
    let text = text.map_or_else(|| plain(&value.to_string()), plain);
    let level = match value.get("level").and_then(Value::as_u64) {
        Some(0) => Level::Error,
        Some(1 | 2) => Level::Warning,
        None if text.contains("error:") => Level::Error,
        Some(_) | None => Level::Info,
    };
    NixEvent::Message { level, text }
}

fn kind(number: u64) -> ActivityKind {
    match number {
        100 => ActivityKind::CopyPath,
        101 => ActivityKind::FileTransfer,
        102 => ActivityKind::Realise,
        104 => ActivityKind::Builds,
        105 => ActivityKind::Build,
        _ => ActivityKind::Other,
    }
}

#[cfg(test)]
mod tests;
