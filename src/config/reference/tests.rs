//! Tests of the reference against the resolver, the packaged file and `docs/configuration.md`.

use std::collections::BTreeSet;
use std::path::Path;

use super::key::SectionReference;
use super::*;
use crate::config::{Config, ConfigErrors, Overrides, parse};

const PACKAGED: &str = include_str!("../../../packaging/gatekeeper.toml");

fn resolved(text: &str) -> Result<Config, ConfigErrors> {
    parse(
        Path::new("gatekeeper.toml"),
        text,
        &Overrides::default(),
        &|_| None,
    )
}

/// A file with these lines in one section; `ollama` stands for `NAME`, because it needs no credential.
fn file(section: &SectionReference, lines: &str) -> String {
    match section.name {
        "" => lines.to_owned(),
        "routes.NAME.cache" => {
            format!("[routes.ollama]\ntargets = [\"ollama/m\"]\n[routes.ollama.cache]\n{lines}")
        }
        name => format!("[{}]\n{lines}", name.replace("NAME", "ollama")),
    }
}

/// Returns the error about one key of the section.
fn error_of(section: &SectionReference, key: &str, value: &str) -> String {
    let text = file(section, &format!("{key} = {value}\n"));
    let errors = resolved(&text).expect_err(&text).0;
    let of_key = |message: &String| {
        let (path, _) = message.split_once(": ").unwrap_or_default();
        path.rsplit('.').next() == Some(key)
    };
    let mut messages = errors.into_iter().map(|error| error.message);
    messages
        .find(of_key)
        .unwrap_or_else(|| panic!("no error of {key} in:\n{text}"))
}

#[test]
fn configuration_reference_lists_exactly_the_accepted_keys() {
    for section in SECTIONS {
        let message = error_of(section, "no_such_key", "1");
        let (_, accepted) = message
            .split_once("the keys are ")
            .expect("a list of the keys");
        let accepted: BTreeSet<&str> = accepted.split(", ").collect();
        let mut listed: BTreeSet<&str> = section.keys.iter().map(|key| key.name).collect();
        if section.name.is_empty() {
            let sections = SECTIONS
                .iter()
                .filter_map(|other| other.name.split('.').next());
            listed.extend(sections.filter(|name| !name.is_empty()));
        }
        assert_eq!(listed, accepted, "[{}]", section.name);
    }
}

/// An invalid value of the kind, and the part of the error that states what is valid.
fn invalid_value(kind: KeyKind) -> (String, String) {
    let words = |words: &[&str], separator: &str| {
        let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        quoted.join(separator)
    };
    let (value, expected) = match kind {
        KeyKind::String | KeyKind::Secret => ("1".to_owned(), "expected a string".to_owned()),
        KeyKind::Boolean => ("1".to_owned(), "expected a boolean".to_owned()),
        KeyKind::Integer { min, max } => (
            (max + 1).to_string(),
            format!("use an integer from {min} to {max}"),
        ),
        KeyKind::Choice(choices) => (
            "\"?\"".to_owned(),
            format!("use {}", words(choices, " or ")),
        ),
        KeyKind::Strings | KeyKind::Targets | KeyKind::Secrets => {
            ("1".to_owned(), "expected an array".to_owned())
        }
        KeyKind::Amount => ("true".to_owned(), "expected an amount".to_owned()),
        KeyKind::StringTable | KeyKind::Table | KeyKind::Tables => {
            ("1".to_owned(), "expected a table".to_owned())
        }
        KeyKind::ChoiceOrTable(choices) => ("\"?\"".to_owned(), words(choices, ", ")),
    };
    (value, expected)
}

#[test]
fn configuration_reference_types_and_ranges_match_resolver() {
    for section in SECTIONS {
        for key in section.keys {
            let (value, expected) = invalid_value(key.kind);
            let message = error_of(section, key.name, &value);
            assert!(message.contains(&expected), "{expected}: {message}");
        }
    }
}

#[test]
fn configuration_reference_defaults_match_resolver() {
    for section in SECTIONS {
        // without these lines the other keys of the section have no effect
        let enabling = match section.name {
            "fetch" => "images = \"on\"\n",
            "egress" => "proxy = \"http://proxy:1\"\n",
            "otlp" => "endpoint = \"http://localhost:4318\"\n",
            "alerts" => "webhook = \"http://localhost/\"\n",
            "providers.NAME.price" | "providers.NAME.prices.MODEL" => "input = 1\noutput = 1\n",
            "routes.NAME" => "targets = [\"ollama/m\"]\n",
            _ => "",
        };
        let written = |key: &KeyReference| match key.default {
            KeyDefault::Toml(value) if !enabling.starts_with(&format!("{} ", key.name)) => {
                format!("{} = {value}\n", key.name)
            }
            _ => String::new(),
        };
        let defaults: String = section.keys.iter().map(written).collect();
        let resolve = |lines: &str| resolved(&file(section, lines)).expect(lines);
        assert_eq!(
            format!("{:?}", resolve(&format!("{enabling}{defaults}"))),
            format!("{:?}", resolve(enabling)),
            "[{}]",
            section.name
        );
    }
}

#[test]
fn configuration_reference_lists_every_provider_type() {
    let page = markdown();
    let types = page
        .lines()
        .find_map(|line| line.split_once(" Types: "))
        .map(|(_, types)| types)
        .expect("a list of the types");
    for preset in crate::provider::REGISTRY {
        let name = preset.name;
        assert!(types.contains(&format!("`{name}`")), "{name}");
    }
}

/// The packaged file with every example line active.
fn active_packaged_file() -> String {
    let active = |line: &'static str| line.strip_prefix("#: ").unwrap_or(line);
    PACKAGED.lines().map(active).collect::<Vec<_>>().join("\n")
}

#[test]
fn packaged_file_example_lines_are_valid_and_show_defaults() {
    let environment = |_: &str| Some("sk-0123456789abcdef0123456789abcdef".to_owned());
    let path = Path::new("/etc/gatekeeper/gatekeeper.toml");
    let with_credentials = active_packaged_file().replace("credential:", "env:");
    let shown = parse(path, &with_credentials, &Overrides::default(), &environment)
        .expect("every example line is valid");
    let default = resolved("").expect("defaults");
    assert_eq!(
        format!("{:?}", shown.limits),
        format!("{:?}", default.limits)
    );
    assert_eq!(
        format!("{:?}", shown.ledger),
        format!("{:?}", default.ledger)
    );
    assert_eq!(shown.retention, default.retention);
    assert_eq!(shown.listen, default.listen);
}

#[test]
fn packaged_file_without_changes_sets_nothing() {
    let set = PACKAGED
        .lines()
        .find(|line| !line.is_empty() && !line.starts_with('#'));
    assert_eq!(set, None);
}

#[test]
fn configuration_reference_matches_docs_and_packaged_file() {
    let generated = [
        ("docs/configuration.md", markdown()),
        ("packaging/gatekeeper.toml", packaged::toml()),
    ];
    for (name, text) in generated {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        if std::env::var_os("GK_WRITE_TABLES").is_some_and(|value| value == "1") {
            std::fs::write(&path, &text).expect("the file is writable");
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == text,
            "{name} is out of date; run the test with GK_WRITE_TABLES=1"
        );
    }
}
