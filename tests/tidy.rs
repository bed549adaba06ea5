//! Holds the source to the rules of the house (the map in `src/lib.rs`): who may name whom, which folder alone knows which
//! library, and what is never left lying about. Reads the files as text; each rule is tried once on a bad sample.

mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use source::{Source, words};

/// The rows of the map. A module names only modules of a lower row; `main` is the one that may also name `cli`.
const ROWS: &[(u8, &[&str])] = &[
    (10, &["main"]),
    (9, &["cli"]),
    (8, &["server"]),
    (7, &["gateway", "control"]),
    (6, &["auth", "policy", "route", "meter", "cache", "audit"]),
    (5, &["config", "store", "upstream"]),
    (4, &["provider"]),
    (3, &["dialect", "price"]),
    (2, &["conversation"]),
    (1, &["domain"]),
];

/// What only these places may name. A place is a folder (`server/`) or a file.
const FENCES: &[(&str, &[&str])] = &[
    ("actix_web", &["server/"]),
    ("actix_server", &["server/"]),
    ("awc", &["upstream/"]),
    ("redb", &["store/"]),
    ("bincode", &["store/codec/mod.rs"]),
    ("clap", &["cli/"]),
    ("SystemTime", &["domain/clock.rs"]),
    ("Timestamp::now", &["domain/clock.rs"]),
    ("Zoned::now", &["domain/clock.rs"]),
    ("clock_gettime", &["domain/clock.rs"]),
    (
        "env::var",
        &["config/", "cli/", "main.rs", "meter/tests.rs"],
    ),
    ("env::vars", &["config/", "cli/", "main.rs"]),
    ("env::var_os", &["config/", "cli/", "main.rs"]),
    ("env::vars_os", &["config/", "cli/", "main.rs"]),
    ("env::set_var", &["config/", "cli/", "main.rs"]),
    ("env::remove_var", &["config/", "cli/", "main.rs"]),
    ("unsafe", &["cache/simd.rs"]),
    ("unsafe_code", &["lib.rs", "main.rs", "cache/simd.rs"]),
];

/// The nouns do no IO, are no wire format and never wait.
const NOT_IN_DOMAIN: &[&str] = &[
    "serde",
    "serde_json",
    "tokio",
    "async",
    "std::fs",
    "std::net",
    "std::io",
];

/// Names of presets, besides those that `src/provider/` has.
const VENDORS: &[&str] = &[
    "openai",
    "anthropic",
    "gemini",
    "bedrock",
    "azure",
    "mistral",
    "groq",
    "cohere",
    "ollama",
    "together",
    "openai_compatible",
    "openrouter",
    "simulator",
];

const VENDOR_HOSTS: &[&str] = &[
    "openai.com",
    "anthropic.com",
    "googleapis.com",
    "amazonaws.com",
    "azure.com",
    "mistral.ai",
    "groq.com",
    "cohere.com",
    "cohere.ai",
    "ollama.com",
    "together.xyz",
    "together.ai",
    "openrouter.ai",
    ":11434",
];

/// Where such a name is a dialect's, a header's or the built-in simulator's, not a vendor's: place, literal.
const VENDOR_WORDS_ALLOWED: &[(&str, &str)] = &[
    ("cli/demo", "simulator"),
    ("server/simulator", "simulator"),
    ("dialect/models", "anthropic"),
    ("dialect/", "gemini"),
    ("dialect/", "cohere"),
    ("dialect/", "ollama"),
];

const LEFTOVERS: &[&str] = &["todo!", "unimplemented!", "dbg!"];

fn row(module: &str) -> Option<u8> {
    ROWS.iter()
        .find(|(_, modules)| modules.contains(&module))
        .map(|(row, _)| *row)
}

/// `server/app.rs` is of `server`, `main.rs` of `main`.
fn module_of(path: &str) -> &str {
    path.split('/')
        .next()
        .unwrap_or_default()
        .trim_end_matches(".rs")
}

fn is_in(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| {
        if place.ends_with(".rs") {
            path == *place
        } else {
            path.starts_with(place)
        }
    })
}

/// The layer rule.
fn layers(path: &str, text: &str) -> Vec<String> {
    let home = module_of(path);
    if home == "lib" {
        return Vec::new();
    }
    let Some(own) = row(home) else {
        return vec![format!(
            "{path}: `{home}` has no row in the map: give it one in src/lib.rs and tests/tidy.rs"
        )];
    };
    let source = Source::read(text);
    let mut faults = Vec::new();
    for root in ["crate", "gatekeeper"] {
        for (line, named) in source.modules_named_after(root) {
            match row(&named) {
                _ if named == home => {}
                Some(other) if other < own => {}
                Some(other) => faults.push(format!(
                    "{path}:{line}: `{home}` (row {own}) names `{named}` (row {other})"
                )),
                None => faults.push(format!("{path}:{line}: `{named}` is no module of the map")),
            }
        }
    }
    faults.extend(
        source
            .lines_with("super::super")
            .map(|line| format!("{path}:{line}: `super::super` hides the layer: write `crate::`")),
    );
    faults
}

/// The fences round libraries, the clock, the environment, unsafe code and the nouns.
fn fences(path: &str, text: &str) -> Vec<String> {
    let source = Source::read(text);
    let mut faults = Vec::new();
    let mut forbid = |word: &str, why: String| {
        faults.extend(
            source
                .lines_with(word)
                .map(|line| format!("{path}:{line}: `{word}` {why}")),
        );
    };
    for (word, places) in FENCES.iter().filter(|(_, places)| !is_in(path, places)) {
        forbid(word, format!("belongs only in {}", places.join(", ")));
    }
    if !is_in(path, &["config/", "cli/", "main.rs"]) {
        forbid(
            "env::{",
            "hides a variable of the environment: name it".to_owned(),
        );
    }
    if path.starts_with("domain/") {
        for word in NOT_IN_DOMAIN {
            forbid(
                word,
                "is IO, a wire format or a wait: not among the nouns".to_owned(),
            );
        }
    }
    faults
}

/// Nothing outside `provider/` decides by vendor.
fn vendors(path: &str, text: &str, vendors: &[&str]) -> Vec<String> {
    if path.starts_with("provider/") {
        return Vec::new();
    }
    let source = Source::read(text).without_tests();
    let allowed = |literal: &str| {
        VENDOR_WORDS_ALLOWED
            .iter()
            .any(|(place, word)| path.starts_with(place) && literal == *word)
    };
    let mut faults = Vec::new();
    for (line, literal) in &source.literals {
        let name = literal.trim_end_matches('/');
        if vendors.contains(&name) && !allowed(name) {
            faults.push(format!(
                "{path}:{line}: \"{literal}\" is a vendor's name: ask the preset for what it can"
            ));
        }
        if let Some(host) = VENDOR_HOSTS.iter().find(|host| literal.contains(**host)) {
            faults.push(format!(
                "{path}:{line}: `{host}` is a vendor's host: it belongs in provider/"
            ));
        }
    }
    for vendor in vendors {
        let path_to = format!("provider::{vendor}");
        faults.extend(
            source
                .lines_with(&path_to)
                .map(|line| format!("{path}:{line}: `{path_to}` picks a vendor")),
        );
    }
    faults
}

/// What is never left lying about, in tests and benches too.
fn leftovers(path: &str, text: &str) -> Vec<String> {
    let source = Source::read(text);
    let mut faults = Vec::new();
    for word in LEFTOVERS {
        faults.extend(
            source
                .lines_with(word)
                .map(|line| format!("{path}:{line}: `{word}` is not finished work")),
        );
    }
    faults.extend(
        source
            .lines_with("#[ignore")
            .map(|line| format!("{path}:{line}: a test that is ignored proves nothing")),
    );
    for attribute in ["#[allow(", "#![allow(", "#[expect(", "#![expect("] {
        let unexplained = source
            .lines_with(attribute)
            .filter(|line| !source.is_explained(*line));
        faults.extend(
            unexplained
                .map(|line| format!("{path}:{line}: say why: `{attribute}…, reason = \"…\")]`")),
        );
    }
    faults
}

/// The file's first words say what it is.
fn headed(path: &str, text: &str) -> Vec<String> {
    let headed = text.starts_with("//!");
    (!headed)
        .then(|| {
            format!(
                "{path}:1: the first sentence says what the file answers and must never do: `//! …`"
            )
        })
        .into_iter()
        .collect()
}

/// Every file of `provider/` is in its registry: named once where a macro declares and lists it, else once more after `mod`.
fn registry(entry: &str, stems: &[&str]) -> Vec<String> {
    let source = Source::read(entry);
    let mut faults = Vec::new();
    for stem in stems {
        let uses = words(&source.code).filter(|(_, word)| word == stem).count();
        let declared = source.lines_with(&format!("mod {stem};")).count();
        if uses <= declared {
            faults.push(format!(
                "provider/{stem}.rs is not in the registry of provider/mod.rs"
            ));
        }
    }
    faults
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below a folder of the repository: path inside the folder, text.
fn files(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(next) = folders.pop() {
        for entry in
            fs::read_dir(&next).unwrap_or_else(|error| panic!("{}: {error}", next.display()))
        {
            let path = entry.expect("a folder can be listed").path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "node_modules" {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let inside = path
                    .strip_prefix(root().join(folder))
                    .expect("a file lies in its folder");
                let text = fs::read_to_string(&path)
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                found.push((inside.to_string_lossy().into_owned(), text));
            }
        }
    }
    found.sort();
    found
}

#[track_caller]
fn none(faults: Vec<String>) {
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

fn all_of_src(rule: impl Fn(&str, &str) -> Vec<String>) -> Vec<String> {
    files("src")
        .iter()
        .flat_map(|(path, text)| rule(path, text))
        .collect()
}

/// The files of `provider/` without its entry and without what is no preset.
fn provider_stems() -> Vec<String> {
    let entries = files("src/provider")
        .into_iter()
        .filter(|(path, _)| path != "mod.rs" && !path.contains('/'));
    entries
        .map(|(path, _)| path.trim_end_matches(".rs").to_owned())
        .collect()
}

#[test]
fn a_module_names_only_lower_rows() {
    none(all_of_src(layers));
}

#[test]
fn each_library_has_its_one_folder() {
    none(all_of_src(fences));
}

#[test]
fn nothing_outside_provider_decides_by_vendor() {
    let stems = provider_stems();
    let names: BTreeSet<&str> = VENDORS
        .iter()
        .copied()
        .chain(stems.iter().map(String::as_str))
        .collect();
    let names: Vec<&str> = names.into_iter().collect();
    none(all_of_src(|path, text| vendors(path, text, &names)));
}

#[test]
fn the_provider_registry_equals_the_folder() {
    let entry =
        fs::read_to_string(root().join("src/provider/mod.rs")).expect("provider/ has its entry");
    let stems = provider_stems();
    none(registry(
        &entry,
        &stems.iter().map(String::as_str).collect::<Vec<_>>(),
    ));
}

#[test]
fn nothing_unfinished_is_left() {
    let faults = ["src", "tests", "benches"].into_iter().flat_map(|folder| {
        let faults = files(folder)
            .into_iter()
            .flat_map(|(path, text)| leftovers(&path, &text))
            .collect::<Vec<_>>();
        faults
            .into_iter()
            .map(move |fault| format!("{folder}/{fault}"))
    });
    none(faults.collect());
}

#[test]
fn every_file_begins_by_saying_what_it_is() {
    none(all_of_src(headed));
    none(
        files("tests")
            .iter()
            .flat_map(|(path, text)| headed(path, text))
            .collect(),
    );
}

#[test]
fn unsafe_code_is_denied_at_the_root() {
    let library = fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs");
    assert!(library.contains("#![deny(unsafe_code)]"));
    assert!(
        files("src")
            .iter()
            .all(|(path, text)| path == "cache/simd.rs" || !text.contains("allow(unsafe_code"))
    );
}

#[track_caller]
fn bad(faults: Vec<String>, count: usize) {
    assert_eq!(faults.len(), count, "{faults:#?}");
}

#[test]
fn a_sample_that_breaks_the_layers_is_caught() {
    bad(
        layers(
            "meter/ledger.rs",
            "use crate::store::log;\nuse crate::domain::money::Money;\nuse crate::meter::window;",
        ),
        0,
    );
    bad(layers("meter/ledger.rs", "use crate::policy::access;"), 1);
    bad(
        layers("store/writer.rs", "fn f() { crate::gateway::handle() }"),
        1,
    );
    bad(
        layers(
            "price/cost.rs",
            "use crate::{domain::money::Money, dialect::{sse, chat}, price::sheet, server};",
        ),
        2,
    );
    bad(
        layers(
            "price/cost.rs",
            "// use crate::server;\nconst A: &str = \"crate::server\"; /* crate::cli /* nested */ crate::cli */",
        ),
        0,
    );
    bad(layers("route/table.rs", "use crate::shiny::New;"), 1);
    bad(layers("route/table.rs", "use crate::*;"), 1);
    bad(layers("shiny/mod.rs", "fn f() {}"), 1);
    bad(layers("route/table.rs", "use super::super::server;"), 1);
    bad(
        layers(
            "main.rs",
            "use gatekeeper::cli;\nfn main() { gatekeeper::nonsense::f() }",
        ),
        1,
    );
    bad(
        layers("cli/mod.rs", "pub(crate) fn f() { crate :: main :: f() }"),
        1,
    );
}

#[test]
fn a_sample_that_climbs_a_fence_is_caught() {
    bad(
        fences("gateway/mod.rs", "use actix_web::web;\nuse awc::Client;"),
        2,
    );
    bad(
        fences(
            "server/app.rs",
            "use actix_web::web; // awc\nlet s = \"redb\";",
        ),
        0,
    );
    bad(fences("store/log.rs", "use bincode::serde;"), 1);
    bad(
        fences("store/codec/mod.rs", "use bincode::serde; use redb::Value;"),
        0,
    );
    bad(fences("server/clap.rs", "use clap::Parser;"), 1);
    bad(
        fences(
            "meter/window.rs",
            "let now = std::time::SystemTime::now(); let then = Timestamp::now();",
        ),
        2,
    );
    bad(fences("domain/clock.rs", "use std::time::SystemTime;"), 0);
    bad(
        fences(
            "upstream/client.rs",
            "std::env::var(\"X\"); use std::env::{self, var};",
        ),
        2,
    );
    bad(fences("main.rs", "std::env::var(\"X\");"), 0);
    bad(fences("route/pick.rs", "fn f() { unsafe { g() } }"), 1);
    bad(fences("cache/simd.rs", "fn f() { unsafe { g() } }"), 0);
    bad(
        fences("domain/id.rs", "use serde::Serialize;\nasync fn f() {}"),
        2,
    );
}

#[test]
fn a_sample_that_decides_by_vendor_is_caught() {
    let names = ["openai", "anthropic", "simulator"];
    bad(
        vendors(
            "gateway/mod.rs",
            "if provider.name == \"anthropic\" { a() }",
            &names,
        ),
        1,
    );
    bad(
        vendors("route/table.rs", "model.strip_prefix(r\"openai/\")", &names),
        1,
    );
    bad(
        vendors(
            "upstream/client.rs",
            "const URL: &str = \"https://api.openai.com/v1\";",
            &names,
        ),
        1,
    );
    bad(
        vendors(
            "config/resolve.rs",
            "use crate::provider::anthropic;",
            &names,
        ),
        1,
    );
    bad(
        vendors(
            "server/call.rs",
            "headers.get(\"anthropic-version\") // \"openai\"",
            &names,
        ),
        0,
    );
    bad(vendors("provider/openai.rs", "\"openai\"", &names), 0);
    bad(vendors("cli/demo.rs", "\"simulator\"", &names), 0);
    bad(
        vendors(
            "price/sheet.rs",
            "#[cfg(test)]\nmod tests { fn f() { find(\"openai\") } }",
            &names,
        ),
        0,
    );
}

#[test]
fn a_sample_with_leftovers_is_caught() {
    bad(
        leftovers(
            "a.rs",
            "fn f() { todo!() }\n#[test]\n#[ignore = \"slow\"]\nfn g() { dbg!(1); }",
        ),
        3,
    );
    bad(leftovers("a.rs", "#[allow(dead_code)]\nfn f() {}"), 1);
    bad(
        leftovers(
            "a.rs",
            "#[allow(dead_code, reason = \"read by the next issue\")]\nfn f() {}",
        ),
        0,
    );
    bad(
        leftovers(
            "a.rs",
            "// the protocol's own spelling\n#[allow(non_snake_case)]\nfn f() {}",
        ),
        0,
    );
    bad(leftovers("a.rs", "let s = \"todo!\"; // dbg!"), 0);
    bad(headed("a.rs", "use std::fs;"), 1);
}

#[test]
fn a_provider_missing_from_the_registry_is_caught() {
    let entry = "mod openai;\nmod groq;\npub const ALL: &[&Preset] = &[&openai::PRESET];";
    bad(registry(entry, &["openai"]), 0);
    bad(registry(entry, &["openai", "groq"]), 1);
    bad(
        registry("registry!(openai, groq);", &["openai", "groq", "stray"]),
        1,
    );
}
