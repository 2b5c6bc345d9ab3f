//! One line of QMP: JSON objects, docs/interop/qmp-spec.rst of QEMU.

use serde_json::{Map, Value};

/// A message of QEMU on its control socket.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// The first line after a connection.
    Greeting,
    /// A command's result.
    Return {
        /// The command's number, if it had one.
        id: Option<u64>,
        /// The result.
        value: Value,
    },
    /// A command's failure.
    Failure {
        /// The command's number, if it had one.
        id: Option<u64>,
        /// QEMU's description of the error.
        description: String,
    },
    /// An asynchronous event.
    Event(QmpEvent),
}

/// Something that happened to the machine.
#[derive(Debug, Clone, PartialEq)]
pub struct QmpEvent {
    /// Its name: `SHUTDOWN`, `RESET`, `GUEST_PANICKED`, ...
    pub name: String,
    /// Its data, which depends on the event.
    pub data: Map<String, Value>,
}

impl Message {
    /// Parses one line; `None` if it is not a message of this protocol. Unknown members are ignored.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let Value::Object(mut object) = serde_json::from_slice(line).ok()? else { return None };
        let id = object.get("id").and_then(Value::as_u64);
        if object.contains_key("QMP") {
            return Some(Self::Greeting);
        }
        if let Some(value) = object.remove("return") {
            return Some(Self::Return { id, value });
        }
        if let Some(error) = object.remove("error") {
            let text = error.get("desc").or_else(|| error.get("class")).and_then(Value::as_str);
            return Some(Self::Failure { id, description: text.unwrap_or("no reason given").to_owned() });
        }
        let name = object.remove("event")?.as_str()?.to_owned();
        let data = match object.remove("data") {
            Some(Value::Object(data)) => data,
            _ => Map::new(),
        };
        Some(Self::Event(QmpEvent { name, data }))
    }
}

/// The text of a command with its final newline. `arguments` must be an object or `Value::Null` for none.
pub(super) fn command(name: &str, arguments: Value, id: u64) -> Vec<u8> {
    let mut object = Map::new();
    object.insert("execute".into(), name.into());
    if !arguments.is_null() {
        object.insert("arguments".into(), arguments);
    }
    object.insert("id".into(), id.into());
    let mut line = Value::Object(object).to_string().into_bytes();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_of_qemu_are_parsed() {
        let greeting = br#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}}, "capabilities": ["oob"]}}"#;
        assert_eq!(Message::parse(greeting), Some(Message::Greeting));
        assert_eq!(
            Message::parse(b"{\"return\": {\"status\": \"running\"}, \"id\": 7}\r"),
            Some(Message::Return { id: Some(7), value: serde_json::json!({"status": "running"}) })
        );
        assert_eq!(
            Message::parse(
                br#"{"error": {"class": "CommandNotFound", "desc": "The command x has not been found"}}"#
            ),
            Some(Message::Failure { id: None, description: "The command x has not been found".into() })
        );
        let event = br#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "SHUTDOWN", "data": {"guest": true}}"#;
        let Some(Message::Event(event)) = Message::parse(event) else { panic!("no event") };
        assert_eq!((event.name.as_str(), event.data["guest"].as_bool()), ("SHUTDOWN", Some(true)));
    }

    #[test]
    fn a_command_is_one_line() {
        assert_eq!(command("quit", Value::Null, 3), b"{\"execute\":\"quit\",\"id\":3}\n");
        let with = command("x", serde_json::json!({"a": "b\nc"}), 0);
        assert_eq!(with.iter().position(|&byte| byte == b'\n'), Some(with.len() - 1));
    }

    proptest! {
        #[test]
        fn any_bytes_are_handled_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Message::parse(&bytes);
        }

        #[test]
        fn any_damage_to_a_message_is_handled_without_a_panic(at in 0usize..60, byte in any::<u8>()) {
            let mut line = br#"{"event": "RESET", "data": {"guest": true}, "timestamp": {}}"#.to_vec();
            let length = line.len();
            line[at % length] = byte;
            let _ = Message::parse(&line);
        }

        #[test]
        fn every_command_is_json_with_its_name(name in ".{0,20}", id in any::<u64>()) {
            let line = command(&name, Value::Null, id);
            let value: Value = serde_json::from_slice(&line).unwrap();
            prop_assert_eq!(value["execute"].as_str(), Some(name.as_str()));
            prop_assert_eq!(value["id"].as_u64(), Some(id));
        }
    }
}
