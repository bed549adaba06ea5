//! The conformance cases of the wire (`tests/CONFORMANCE.md`), each with the tests whose names begin with its id, found by reading the
//! files as text. A case without a test is a failure, unless it belongs to what is not built yet; so is a table that is out of date.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::harness::assert_table;

/// Client of a case.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// a test speaks HTTP as the client does
    Test,
    /// that, and the agent or SDK itself, by a case in `tests/sdk`
    Client,
    /// nobody yet: what is missing
    Nobody(&'static str),
}

use By::{Client, Nobody, Test};

const CASES: &[(&str, &str, By)] = &[
    (
        "B01",
        "a bearer key is taken, and the vendor sees its own credential only",
        Test,
    ),
    ("B02", "so is a key in `x-api-key`", Test),
    (
        "B03",
        "a wrong key is 401 in OpenAI's shape, and nothing is sent",
        Test,
    ),
    (
        "B04",
        "a wrong key is 401 in Anthropic's shape, with a request id",
        Test,
    ),
    (
        "B05",
        "Claude Code's first prompt: betas unchanged, `HEAD /` answered",
        Client,
    ),
    (
        "B06",
        "Codex's built-in provider: one upgrade is refused with 426, then one POST",
        Client,
    ),
    (
        "B07",
        "Codex's custom provider: one POST, its bytes unchanged",
        Client,
    ),
    (
        "B08",
        "the model list in either client's shape, page by page",
        Test,
    ),
    (
        "B09",
        "Claude Code's picker shows other vendors' models under aliases",
        Client,
    ),
    ("B10", "an unknown model is 404 in the dialect", Test),
    (
        "B11",
        "the AI SDK's default goes to Responses and streams",
        Client,
    ),
    (
        "B12",
        "a body of 20 MiB goes through, a larger one is 413",
        Test,
    ),
    (
        "P01",
        "unknown members, order and numbers arrive as they were written",
        Test,
    ),
    (
        "P02",
        "a chat stream is metered without the client seeing a usage chunk",
        Test,
    ),
    (
        "P03",
        "a usage chunk that was asked for comes once, last",
        Test,
    ),
    (
        "P04",
        "signed and redacted thoughts pass byte for byte, both ways",
        Test,
    ),
    (
        "P05",
        "unknown events, blocks and usage members pass as they came",
        Test,
    ),
    (
        "P06",
        "Claude Code's own members all reach Anthropic",
        Client,
    ),
    (
        "P07",
        "encrypted reasoning, custom and namespace tools go to OpenAI and back unchanged",
        Test,
    ),
    (
        "P08",
        "Azure by both of its addresses, filter chunks and `api-key`",
        Test,
    ),
    (
        "P09",
        "InvokeModel: version and betas in the body, frames become events",
        Test,
    ),
    (
        "P10",
        "Groq, Together and Mistral; Mistral gets no member outside its schema",
        Test,
    ),
    (
        "P11",
        "request ids and rate limits of the vendor pass, hop-by-hop headers do not",
        Test,
    ),
    (
        "T01",
        "a chat client's text at vendors of other dialects",
        Test,
    ),
    (
        "T02",
        "a messages client's text at vendors of other dialects, in valid order",
        Test,
    ),
    (
        "T03",
        "a responses client's text at vendors of other dialects, in the full sequence",
        Test,
    ),
    ("T04", "Claude Code runs a tool on Gemini", Client),
    ("T05", "Claude Code runs a tool on Groq", Client),
    ("T06", "Codex runs a command on Anthropic", Client),
    (
        "U01",
        "arguments that come in pieces are the exact JSON",
        Test,
    ),
    (
        "U02",
        "Gemini's calls get an id, their results the right name",
        Test,
    ),
    (
        "U03",
        "results of parallel calls go to Converse in one message, in order",
        Test,
    ),
    (
        "U04",
        "a failed result and its image are not dropped in silence",
        Test,
    ),
    (
        "U05",
        "every choice among tools, and no parallel ones, at Anthropic",
        Test,
    ),
    ("U06", "`none` with tools at Converse withholds them", Test),
    ("U07", "Ollama's arguments are objects, encoded once", Test),
    ("U08", "Cohere's plan is told, its call intact", Test),
    (
        "U09",
        "a tool's name of 100 letters is shortened and comes back",
        Test,
    ),
    (
        "U10",
        "a schema with references reaches Gemini with its meaning",
        Test,
    ),
    (
        "R01",
        "effort becomes thinking that leaves room for the answer",
        Test,
    ),
    (
        "R02",
        "adaptive thinking becomes the nearest effort, without a budget",
        Test,
    ),
    ("R03", "Groq's thoughts are a block before the text", Test),
    (
        "R04",
        "Mistral's thinking chunks are told apart from its text",
        Test,
    ),
    ("R05", "Gemini's thoughts are told and counted", Test),
    (
        "R06",
        "thoughts are a sealed item for a responses client and come back",
        Test,
    ),
    (
        "M01",
        "an image in a data URL reaches Anthropic as base64",
        Test,
    ),
    (
        "M02",
        "an image reaches Converse as bytes with their format",
        Test,
    ),
    (
        "M03",
        "an image by its URL: refused, or fetched where that is on, never from a private address",
        Test,
    ),
    ("M04", "a PDF reaches OpenAI as a file", Test),
    (
        "M05",
        "an answer's schema goes into the vendor's own member",
        Test,
    ),
    (
        "M06",
        "stop texts reach Anthropic, and the one that was met is told",
        Test,
    ),
    (
        "C01",
        "cache reads and writes are in the prompt, billed by class",
        Test,
    ),
    (
        "C02",
        "cached input is told apart to a messages client",
        Test,
    ),
    (
        "C03",
        "Converse's usage after the stop is in the last delta",
        Test,
    ),
    ("C04", "Cohere is paid what it billed", Test),
    (
        "C05",
        "what Ollama does not count is estimated, never free",
        Test,
    ),
    (
        "C06",
        "cache writes of both lifetimes are billed in their classes",
        Test,
    ),
    (
        "C07",
        "the tier that served is the one that is billed",
        Test,
    ),
    ("C08", "each web search has its fee", Test),
    (
        "C09",
        "a hit of the gateway's own cache costs nothing",
        Nobody("the gateway's cache"),
    ),
    ("C10", "embeddings are billed by their prompt alone", Test),
    (
        "X01",
        "an overloaded Anthropic is told in OpenAI's shape, `retry-after` kept",
        Test,
    ),
    ("X02", "Gemini's delay becomes `retry-after`", Test),
    ("X03", "AWS's exceptions have their statuses", Test),
    (
        "X04",
        "a context that is too long is the client's to mend",
        Test,
    ),
    ("X05", "a failure is tried again and billed once", Test),
    (
        "X06",
        "another provider answers where one cannot be reached",
        Test,
    ),
    (
        "X07",
        "an error line of Ollama's is an error in the stream",
        Test,
    ),
    (
        "X08",
        "a stream that stalls is ended, the upstream's socket closed",
        Test,
    ),
    ("X09", "pings while an upstream is silent", Test),
    (
        "X10",
        "a chunk that is no JSON is an error, never a panic",
        Test,
    ),
    (
        "X11",
        "a request without `max_tokens` is 400 in Anthropic's shape",
        Test,
    ),
    ("X12", "a proxy's HTML is not handed on", Test),
    (
        "X13",
        "a vendor that refuses our key never logs the client out",
        Test,
    ),
];

/// Name of a test or case → the file that has it.
type NamesByCase = BTreeMap<String, String>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder with this ending: its path from the root, its text.
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(root().join(folder)).expect("a folder") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{folder}/{name}");
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() && !name.starts_with('.') {
            all.extend(files(&path, ending));
        } else if kind.is_file() && name.ends_with(ending) {
            all.push((
                path.clone(),
                fs::read_to_string(entry.path()).expect("a source is UTF-8"),
            ));
        }
    }
    all
}

/// The functions marked as tests.
fn tests_in(text: &str) -> impl Iterator<Item = &str> {
    text.split("#[test]\n")
        .skip(1)
        .filter_map(|rest| rest.trim_start().strip_prefix("fn ")?.split('(').next())
}

/// Names in quotes that begin with the id of a case.
fn cases_in(text: &str) -> impl Iterator<Item = &str> {
    text.split(['"', '\''])
        .filter(|word| word.split(' ').next().is_some_and(is_id))
}

fn is_id(word: &str) -> bool {
    matches!(word.as_bytes(), [letter, tens, ones] if letter.is_ascii_lowercase() && tens.is_ascii_digit() && ones.is_ascii_digit())
}

/// The ids that a name begins with: `b03_b04_a_wrong_key` is of both.
fn ids<'a>(name: &'a str, separator: &'a str) -> impl Iterator<Item = &'a str> {
    name.split(separator).take_while(|word| is_id(word))
}

fn rust_tests() -> NamesByCase {
    let sources = [files("src", ".rs"), files("tests", ".rs")].concat();
    let named = |(path, text): &(String, String)| {
        tests_in(text)
            .map(|name| (name.to_owned(), path.clone()))
            .collect::<Vec<_>>()
    };
    sources.iter().flat_map(named).collect()
}

fn sdk_cases() -> NamesByCase {
    let scripts = [".py", ".mjs"]
        .map(|ending| files("tests/sdk", ending))
        .concat();
    let scripts = scripts
        .into_iter()
        .filter(|(path, _)| !path.contains("node_modules"));
    scripts
        .flat_map(|(path, text)| {
            cases_in(&text)
                .map(|name| (name.to_owned(), path.clone()))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Row of one case in the table, and the fault if it lacks a test.
fn row(case: &(&str, &str, By), rust: &NamesByCase, sdk: &NamesByCase) -> (String, Option<String>) {
    let (id, about, by) = *case;
    let word = id.to_lowercase();
    let of = |found: &NamesByCase, separator: &str| {
        let of_case = found
            .iter()
            .filter(|(name, _)| ids(name, separator).any(|of| of == word));
        of_case
            .map(|(name, path)| {
                if separator == "_" {
                    format!("`{name}`")
                } else {
                    format!("{path}: {name}")
                }
            })
            .collect::<Vec<_>>()
    };
    let (tests, clients) = (of(rust, "_"), of(sdk, " "));
    let missing = match by {
        Test | Client if tests.is_empty() => Some(format!("{id} has no test")),
        Client if clients.is_empty() => Some(format!("{id} has no case in tests/sdk")),
        Nobody(what) if !tests.is_empty() => Some(format!(
            "{id} has a test, so the table must no longer say that {what} are to come"
        )),
        _ => None,
    };
    let shown = if let Nobody(what) = by {
        format!("*later, with {what}*")
    } else {
        tests.join("<br>")
    };
    (
        format!("| {id} | {about} | {shown} | {} |\n", clients.join("<br>")),
        missing,
    )
}

const INTRODUCTION: &str = "\
# Conformance cases of the wire

Made by the test `every_conformance_case_has_its_tests` (tests/conformance.rs), which reads the sources; made anew by
`GK_WRITE_TABLES=1 cargo test --locked every_conformance_case`. Do not edit: the test fails when a case has no test, or this table is out
of date. A test belongs to the cases whose ids its name begins with. The last column is cases of `tests/sdk/run` and
`tests/sdk/run --agents`, where the client is the agent or SDK itself.

| case | what must hold | tests | with the client itself |
|---|---|---|---|
";

#[test]
fn every_conformance_case_has_its_tests() {
    let (rust, sdk) = (rust_tests(), sdk_cases());
    assert_eq!(CASES.len(), 74);
    let (mut page, mut missing) = (INTRODUCTION.to_owned(), Vec::new());
    for case in CASES {
        let (line, lacks) = row(case, &rust, &sdk);
        let _ = write!(page, "{line}");
        missing.extend(lacks);
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert_table("CONFORMANCE.md", &page);
}

#[test]
fn test_names_and_case_ids_are_parsed_exactly() {
    let text = "#[test]\nfn b03_b04_a_wrong_key() {}\nfn b05_no_test() {}\n#[test]\nfn plain() {}";
    assert_eq!(
        tests_in(text).collect::<Vec<_>>(),
        ["b03_b04_a_wrong_key", "plain"]
    );
    assert_eq!(
        ids("b03_b04_a_wrong_key", "_").collect::<Vec<_>>(),
        ["b03", "b04"]
    );
    assert_eq!(
        cases_in(r#"yield "b06 codex", "b0x", 'a b07', "t04""#).collect::<Vec<_>>(),
        ["b06 codex", "t04"]
    );
    assert!(ids("e2e_test", "_").next().is_none() && ids("plain", "_").next().is_none());
    let lacking = row(
        &("X99", "nothing", Test),
        &NamesByCase::new(),
        &NamesByCase::new(),
    )
    .1;
    assert_eq!(lacking.as_deref(), Some("X99 has no test"));
}
