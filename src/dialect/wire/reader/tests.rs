//! Comparison of the scanner with serde_json: recordings of vendors and clients, hand-written edges, and mutations of both. Whatever
//! the scanner takes, serde_json takes with the same fields and values.

use std::path::{Path, PathBuf};

use serde::de::MapAccess;
use serde_json::value::RawValue;

use crate::dialect::wire::json::{
    ElementsSeed, FieldVisitor, Leaf, ObjectSeed, read_scanned, read_strictly, skip,
};

const EDGES: [&str; 28] = [
    r#"{}"#,
    r#" { "a" : [ ] , "b":{ } } "#,
    r#"{"a":1,"b":-0,"c":0.5e+10,"d":1E400,"e":123456789012345678,"f":12345678901234567890123}"#,
    r#"{"a":01}"#,
    r#"{"a":-}"#,
    r#"{"a":1.}"#,
    r#"{"a":1e}"#,
    r#"{"a":[1,]}"#,
    r#"{"a":[,1]}"#,
    r#"{"a":1,}"#,
    r#"{,"a":1}"#,
    r#"{"a" 1}"#,
    r#"{"a":1 "b":2}"#,
    r#"{"a":tru,"b":nulll}"#,
    r#"{"a":true,"b":false,"c":null}"#,
    r#"{"a":"\ud83d","b":"\ud83d\ude00","c":"\u12g4"}"#,
    r#"{"\ud83d":1}"#,
    r#"{"a":"\q"}"#,
    r#"{"a":"sixteen letters and a\nbreak, then more than thirty-two bytes without one"}"#,
    "{\"a\":\"a tab within a text that is longer than sixteen bytes\t\"}",
    "{\"a\":\"\u{7f}\u{80}日本\"}",
    r#"{"a":[{"b":[[{"c":"d"}]]},"e",3]}"#,
    r#"{"a":[1}"#,
    r#"{"a":{"b":1]}"#,
    r#"{"a":1}}"#,
    r#"[{"a":1},{"a":"b"}]"#,
    r#""text""#,
    "",
];
/// Bytes that change the structure of a text.
const BYTES: &[u8] = b"{}[]\",:\\ \n\t\x00\x1f\x80\xff0-1.eEtfnu/";

/// JSON of the recordings and the edges, and mutations of them: `GK_FUZZ_JSON` in all.
pub(in crate::dialect::wire) fn samples() -> impl Iterator<Item = Vec<u8>> {
    let seeds = seeds();
    assert!(seeds.len() > 1_000, "recordings are found");
    let count = std::env::var("GK_FUZZ_JSON").ok();
    let count = count.map_or(4_000, |count| count.parse().expect("a count"));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let deep = [90, 101, 127, 128, 200]
        .map(|depth| format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth)).into_bytes());
    let whole = seeds.clone().into_iter().chain(deep);
    whole.chain((0..count).map(move |_| {
        let seed = seeds[random.below(seeds.len())].clone();
        random.mutate(seed)
    }))
}

/// Texts of at most 3,000 bytes.
fn seeds() -> Vec<Vec<u8>> {
    let mut files = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")];
    let mut seeds: Vec<Vec<u8>> = EDGES.iter().map(|text| text.as_bytes().to_vec()).collect();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a folder of recordings");
            let mut entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            entries.sort();
            files.extend(entries);
            continue;
        }
        let bytes = std::fs::read(&path).expect("a recording");
        let lines = bytes.split(|byte| *byte == b'\n');
        let data = lines.map(|line| line.strip_prefix(b"data: ").unwrap_or(line));
        let texts = data.chain([&bytes[..]]);
        let texts = texts.filter(|text| text.starts_with(b"{") && text.len() <= 3_000);
        seeds.extend(texts.map(<[u8]>::to_vec));
    }
    seeds
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// Up to three bytes replaced, inserted or removed, or the text cut off.
    fn mutate(&mut self, mut text: Vec<u8>) -> Vec<u8> {
        for _ in 0..=self.below(3) {
            let (at, byte) = (self.below(text.len()), BYTES[self.below(BYTES.len())]);
            match self.below(8) {
                0 => text.truncate(at),
                1 | 2 if at < text.len() => drop(text.remove(at)),
                3..=5 => text.insert(at, byte),
                _ if at < text.len() => text[at] = byte,
                _ => {}
            }
        }
        text
    }
}

/// Notes everything that it is told, in turn asking for a value of each kind.
#[derive(Clone, Default)]
struct Trace(String);

impl FieldVisitor for Trace {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        self.0.push_str(name);
        match (self.0.len() + name.len()) % 6 {
            0 => skip(map)?,
            1 => {
                let leaf: Leaf<'_> = map.next_value()?;
                self.0.push_str(&format!("={leaf:?}"));
            }
            2 => map.next_value_seed(ObjectSeed(self))?,
            3 => {
                let raw: &RawValue = map.next_value()?;
                self.0.push_str(raw.get());
            }
            _ => map.next_value_seed(ElementsSeed(self))?,
        }
        Ok(())
    }

    fn text(&mut self, text: &str) {
        self.0.push_str(&format!("\"{text}\""));
    }

    fn other(&mut self) {
        self.0.push('?');
    }

    fn end(&mut self) {
        self.0.push('}');
    }
}

#[test]
fn scanned_text_is_one_that_serde_json_reads_alike() {
    let (mut taken, mut left) = (0, 0);
    for text in samples() {
        let judged = read_strictly(Trace::default(), &text);
        let Ok(text) = std::str::from_utf8(&text) else {
            continue;
        };
        match read_scanned(Trace::default(), text) {
            Ok(Trace(seen)) => {
                taken += 1;
                let judged = judged.unwrap_or_else(|flaw| panic!("{flaw}: {text}"));
                assert_eq!(judged.0, seen, "{text}");
            }
            Err(_) => left += usize::from(judged.is_ok()),
        }
    }
    assert!(
        left * 100 < taken,
        "{left} of {taken} readable texts were left to serde_json"
    );
}
