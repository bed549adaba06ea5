//! Seeded mutator. JSON is changed as a tree and then as text; streams are cut, repeated, reordered and their events changed; frames
//! and files are changed as bytes. Equal seeds give equal messages.

use serde_json::{Map, Value};

use super::corpus::Kind;
use crate::harness::rng::SeededRng;

/// Values that break assumptions, as JSON text: some of them are no value of `serde_json`.
const VALUES: [&str; 25] = [
    "null",
    "true",
    "0",
    "-1",
    "-0",
    "0.1",
    "1e2",
    "1e999",
    "-1e-400",
    "4294967296",
    "18446744073709551616",
    "-9223372036854775809",
    "\"\"",
    "\"0\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"🦀\"",
    "\"=1+1\"",
    "\"a\\nb\\r\\n\"",
    "[]",
    "[[]]",
    "{}",
    "{\"\":{}}",
    "[null,1,\"a\",{}]",
];
const LONG: usize = 70_000;
const DEPTH: usize = 300;
/// Place of a value that is put in as text.
const MARK: &str = "\u{e000}mark\u{e000}";

pub struct Mutator {
    rng: SeededRng,
    /// member names seen in the corpus
    names: Vec<String>,
}

impl Mutator {
    pub fn new(seed: u64, corpus: &[Vec<u8>]) -> Mutator {
        let mut names = Vec::new();
        for body in corpus {
            if let Ok(value) = serde_json::from_slice(body) {
                collect_names(&value, &mut names);
            }
        }
        names.sort();
        names.dedup();
        Mutator {
            rng: SeededRng::new(seed),
            names,
        }
    }

    pub fn below(&mut self, count: usize) -> usize {
        (self.rng.next() >> 20) as usize % count.max(1)
    }

    /// Returns `true` once in so many times.
    pub fn once_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// A message of this kind with changes.
    pub fn stream(&mut self, message: &[u8], kind: Kind) -> Vec<u8> {
        match kind {
            Kind::Whole => self.json(message),
            Kind::Events => self.events(message, b"\n\n"),
            Kind::Lines => self.events(message, b"\n"),
            Kind::Frames => self.bytes(message),
        }
    }

    /// A JSON message with one to four changes of its tree, and perhaps one of its text.
    pub fn json(&mut self, body: &[u8]) -> Vec<u8> {
        let Ok(mut value) = serde_json::from_slice::<Value>(body) else {
            return self.bytes(body);
        };
        let mut inserted = None;
        for _ in 0..=self.below(4) {
            self.change_tree(&mut value, &mut inserted);
        }
        let mut text = value.to_string();
        if let Some(json) = inserted {
            text = text.replace(&Value::from(MARK).to_string(), &json);
        }
        match self.below(8) {
            0 => self.bytes(text.as_bytes()),
            1 => self.repeated_member(&text),
            2 => format!(" \n\t{text}\r\n ").into_bytes(),
            _ => text.into_bytes(),
        }
    }

    fn change_tree(&mut self, root: &mut Value, inserted: &mut Option<String>) {
        let count = count_nodes(root);
        let other = node(root, self.below(count)).cloned();
        let chosen = self.below(count);
        let Some(value) = node(root, chosen) else {
            return;
        };
        match self.below(9) {
            0 | 1 => {
                inserted.get_or_insert_with(|| self.value());
                *value = Value::from(MARK);
            }
            2 => *value = other.unwrap_or_default(),
            3 => *value = Value::Array(vec![value.take()]),
            4 => *value = Value::from("x".repeat(LONG)),
            5 => {
                let (name, added) = (self.name(), other.unwrap_or_default());
                match value {
                    Value::Object(map) => drop(map.insert(name, added)),
                    Value::Array(list) => list.push(added),
                    _ => {}
                }
            }
            6 => self.remove_or_rename(value),
            7 => match value {
                Value::Array(list) => {
                    let copies = list.clone();
                    list.extend(copies);
                }
                Value::String(text) => text.push_str("é\u{200d}🦀"),
                Value::Number(number) => *value = Value::from(number.to_string()),
                _ => {}
            },
            _ => {
                if self.once_in(8) {
                    *value = (0..DEPTH).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
                }
            }
        }
    }

    fn value(&mut self) -> String {
        (*self.pick(&VALUES)).to_owned()
    }

    fn name(&mut self) -> String {
        if self.names.is_empty() || self.once_in(10) {
            return ["", "a.b", "\u{0}", "__proto__", "x-🦀"][self.below(5)].to_owned();
        }
        let at = self.below(self.names.len());
        self.names[at].clone()
    }

    fn remove_or_rename(&mut self, value: &mut Value) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                let names: Vec<String> = map.keys().cloned().collect();
                let name = self.pick(&names).clone();
                let taken = map.remove(&name).unwrap_or_default();
                if self.once_in(2) {
                    map.insert(self.name(), taken);
                }
            }
            Value::Array(list) if !list.is_empty() => {
                let at = self.below(list.len());
                list.remove(at);
            }
            other => *other = Value::Object(Map::new()),
        }
    }

    /// The text with its first member once more, with another value.
    fn repeated_member(&mut self, text: &str) -> Vec<u8> {
        let Some((name, _)) = text
            .strip_prefix("{\"")
            .and_then(|rest| rest.split_once('"'))
        else {
            return text.into();
        };
        format!("{{\"{name}\":{},{}", self.value(), &text[1..]).into_bytes()
    }

    /// Bytes with one to three changes.
    pub fn bytes(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(3) {
            if bytes.is_empty() {
                return bytes;
            }
            let at = self.below(bytes.len());
            match self.below(7) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = self.rng.next() as u8,
                2 => bytes.truncate(at),
                3 => drop(bytes.remove(at)),
                4 => bytes.insert(at, *self.pick(b"\0\n\r\"\\{}[],:\xff\xc3 \x80")),
                5 => {
                    let end = (at + self.below(64)).min(bytes.len());
                    let part = bytes[at..end].to_vec();
                    let to = self.below(bytes.len());
                    bytes.splice(to..to, part);
                }
                _ => {
                    let end = (at + self.below(64)).min(bytes.len());
                    bytes.drain(at..end);
                }
            }
        }
        bytes
    }

    /// Server-sent events or lines with changed, repeated, missing and reordered events.
    pub fn events(&mut self, stream: &[u8], separator: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(stream).into_owned();
        let mark = String::from_utf8_lossy(separator).into_owned();
        let mut events: Vec<Vec<u8>> = text.split(&mark).map(|event| event.into()).collect();
        for _ in 0..=self.below(3) {
            let (at, other) = (self.below(events.len()), self.below(events.len()));
            match self.below(6) {
                0 => events.swap(at, other),
                1 => events.insert(at, events[other].clone()),
                2 if events.len() > 1 => drop(events.remove(at)),
                3 => events.truncate(at.max(1)),
                4 => events.insert(at, self.odd_event()),
                _ => events[at] = self.event(&events[at].clone()),
            }
        }
        let joined = events.join(separator);
        match self.below(10) {
            0 => String::from_utf8_lossy(&joined)
                .replace('\n', "\r\n")
                .into_bytes(),
            1 => self.bytes(&joined),
            _ => joined,
        }
    }

    fn odd_event(&mut self) -> Vec<u8> {
        let events: [&[u8]; 8] = [
            b": comment",
            b"data",
            b"data: [DONE]",
            b"event: error\ndata: {\"error\":{\"message\":\"m\",\"type\":\"overloaded_error\"}}",
            b"data: {\"error\":{\"message\":1}}",
            b"retry: x\nid: \0",
            b"\xef\xbb\xbfdata: {}",
            b"data: {\ndata: }",
        ];
        self.pick(&events).to_vec()
    }

    /// An event whose JSON is changed.
    fn event(&mut self, event: &[u8]) -> Vec<u8> {
        let Some(at) = event.iter().position(|byte| *byte == b'{') else {
            return self.bytes(event);
        };
        let (head, json) = event.split_at(at);
        [head, &self.json(json)].concat()
    }

    /// The bytes in pieces of random lengths.
    pub fn pieces(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let longest = [1, 7, 64, 4_096][self.below(4)].max(bytes.len() / 256);
        let (mut pieces, mut rest) = (Vec::new(), bytes);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((1 + self.below(longest)).min(rest.len()));
            pieces.push(piece.to_vec());
            rest = after;
        }
        pieces
    }
}

fn collect_names(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(name, inner)| {
            names.push(name.clone());
            collect_names(inner, names);
        }),
        Value::Array(list) => list.iter().for_each(|inner| collect_names(inner, names)),
        _ => {}
    }
}

fn count_nodes(value: &Value) -> usize {
    1 + match value {
        Value::Object(map) => map.values().map(count_nodes).sum(),
        Value::Array(list) => list.iter().map(count_nodes).sum(),
        _ => 0,
    }
}

/// The n-th node of a tree, in the order of the text.
fn node(value: &mut Value, n: usize) -> Option<&mut Value> {
    if n == 0 {
        return Some(value);
    }
    let mut left = n - 1;
    let inner: Vec<&mut Value> = match value {
        Value::Object(map) => map.values_mut().collect(),
        Value::Array(list) => list.iter_mut().collect(),
        _ => Vec::new(),
    };
    for child in inner {
        let count = count_nodes(child);
        if left < count {
            return node(child, left);
        }
        left -= count;
    }
    None
}
