//! Untrusted JSON: bounded before it is parsed, and unambiguous. `serde_json` uses the last of duplicate keys, other
//! parsers the first; here they are refused. The depth is bounded by `serde_json` itself (128).

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Maximum number of values in a document: more than any release has, and at most tens of MiB of memory.
const MAX_VALUES: usize = 400_000;

/// Parses a document of at most `limit` bytes into `T`.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], limit: u64) -> Result<T, String> {
    let value = value(bytes, limit)?;
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// Reads a document of at most `limit` bytes.
pub fn value(bytes: &[u8], limit: u64) -> Result<Value, String> {
    if bytes.len() as u64 > limit {
        return Err(format!("it has {} bytes, at most {limit} are allowed", bytes.len()));
    }
    let left = Cell::new(MAX_VALUES);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict(&left).deserialize(&mut reader).map_err(|error| error.to_string())?;
    reader.end().map_err(|error| error.to_string())?;
    Ok(value)
}

/// Parses one value, counting down.
#[derive(Clone, Copy)]
struct Strict<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let left = self.0.get().checked_sub(1).ok_or_else(|| D::Error::custom("it has too many values"))?;
        self.0.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(self)?;
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("the key {key:?} occurs twice")));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        value(text.as_bytes(), 1 << 20).unwrap_err()
    }

    #[test]
    fn ambiguous_and_unbounded_documents_are_refused() {
        assert!(refused(r#"{"a": {"b": 1, "b": 2}}"#).starts_with(r#"the key "b" occurs twice"#));
        assert!(refused(&"[".repeat(100_000)).contains("recursion limit"));
        assert!(refused(&format!("[{}0]", "0,".repeat(MAX_VALUES))).contains("too many values"));
        assert!(refused("{} {}").contains("trailing characters"));
        assert_eq!(value(b"[1]", 2).unwrap_err(), "it has 3 bytes, at most 2 are allowed");
        let text = r#"{"a":[1,-2,0.5,"x",null,true]}"#;
        assert_eq!(value(text.as_bytes(), 100).unwrap().to_string(), text);
    }
}
