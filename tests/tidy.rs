//! Architecture rules of the source: layers (the map in `src/lib.rs`), fences around libraries, import cycles, sizes,
//! wording and leftovers. Reads the files as text and fails with a list of faults; each rule is also tested on a bad
//! sample. It must never need a build of the tree that it judges.

mod cycles;
mod samples;
mod shape;
mod source;
mod wording;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use source::{Source, words};

/// Rows of the map. A module names only modules of lower rows.
const ROWS: &[(u8, &[&str])] = &[
    (11, &["main"]),
    (10, &["cli"]),
    (9, &["process"]),
    (8, &["server", "simulator"]),
    (7, &["gateway", "control"]),
    (6, &["auth", "policy", "route", "meter", "cache", "trace"]),
    (5, &["config", "store", "upstream"]),
    (4, &["provider"]),
    (3, &["dialect", "limits", "price", "audit"]),
    (2, &["conversation", "compression"]),
    (1, &["domain"]),
];

/// Names restricted to places. A place is a folder (`server/`) or a file.
const FENCES: &[(&str, &[&str])] = &[
    ("actix_web", &["server/", "simulator/"]),
    ("actix_server", &["server/"]),
    ("awc", &[]),
    ("httparse", &["upstream/"]),
    ("tokio_rustls", &["upstream/"]),
    ("redb", &["store/"]),
    ("bincode", &["store/codec/mod.rs"]),
    ("zstd_safe", &["compression/"]),
    ("brotli_decompressor", &["compression/"]),
    ("clap", &["cli/"]),
    ("SystemTime", &["domain/clock.rs"]),
    ("Timestamp::now", &["domain/clock.rs"]),
    ("Zoned::now", &["domain/clock.rs"]),
    ("clock_gettime", &["domain/clock.rs"]),
    (
        "env::var",
        &[
            "config/",
            "cli/",
            "main.rs",
            "meter/tests.rs",
            "cache/embedder/tests.rs",
            "dialect/wire/reader/tests.rs",
            "store/tests/",
        ],
    ),
    ("env::vars", &["config/", "cli/", "main.rs"]),
    ("env::var_os", &["config/", "cli/", "main.rs"]),
    ("env::vars_os", &["config/", "cli/", "main.rs"]),
    ("env::set_var", &["config/", "cli/", "main.rs"]),
    ("env::remove_var", &["config/", "cli/", "main.rs"]),
    (
        "unsafe",
        &["cache/simd.rs", "process/heap.rs", "store/mapping.rs"],
    ),
    (
        "unsafe_code",
        &[
            "lib.rs",
            "main.rs",
            "cache/simd.rs",
            "process/heap.rs",
            "store/mapping.rs",
        ],
    ),
];

/// Domain types have no I/O, wire format or async.
const NOT_IN_DOMAIN: &[&str] = &[
    "serde",
    "serde_json",
    "tokio",
    "async",
    "std::fs",
    "std::net",
    "std::io",
];

/// Literals that name a dialect, a header or the built-in simulator instead of a vendor: place, literal.
const VENDOR_WORDS_ALLOWED: &[(&str, &str)] = &[
    ("cli/demo", "simulator"),
    ("simulator/", "simulator"),
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

/// Module of a file: `server` for `server/app.rs`, `main` for `main.rs`.
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

/// Layers: a module names only modules of lower rows.
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

/// Fences around libraries, the clock, the environment, unsafe code and the domain types.
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
            "imports from the environment by group; name the function with its path".to_owned(),
        );
    }
    if path.starts_with("domain/") {
        for word in NOT_IN_DOMAIN {
            forbid(
                word,
                "is I/O, a wire format or async; domain types have none".to_owned(),
            );
        }
    }
    faults
}

/// Vendors: only `provider/` compares provider ids or knows host names.
fn vendors(path: &str, text: &str, names: &[&str], hosts: &[&str]) -> Vec<String> {
    if path.starts_with("provider/") || path.ends_with("/tests.rs") {
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
        if names.contains(&name) && !allowed(name) {
            faults.push(format!(
                "{path}:{line}: \"{literal}\" is a provider id; add a capability to the preset"
            ));
        }
        if let Some(host) = hosts.iter().find(|host| literal.contains(**host)) {
            faults.push(format!(
                "{path}:{line}: `{host}` is a vendor's host; move it to provider/"
            ));
        }
    }
    for name in names {
        let path_to = format!("provider::{name}");
        faults.extend(
            source.lines_with(&path_to).map(|line| {
                format!("{path}:{line}: `{path_to}` selects a vendor; ask the registry")
            }),
        );
    }
    faults
}

/// Leftovers: unfinished code, ignored tests, lints allowed without a reason.
fn leftovers(path: &str, text: &str) -> Vec<String> {
    let source = Source::read(text);
    let mut faults = Vec::new();
    for word in LEFTOVERS {
        faults.extend(
            source
                .lines_with(word)
                .map(|line| format!("{path}:{line}: `{word}` is unfinished code")),
        );
    }
    faults.extend(
        source
            .lines_with("#[ignore")
            .map(|line| format!("{path}:{line}: ignored test; fix or delete it")),
    );
    for attribute in ["#[allow(", "#![allow(", "#[expect(", "#![expect("] {
        let unexplained = source
            .lines_with(attribute)
            .filter(|line| !source.is_explained(*line));
        faults.extend(unexplained.map(|line| {
            format!("{path}:{line}: lint without a reason; add `{attribute}…, reason = \"…\")]`")
        }));
    }
    faults
}

/// A file opens with a header.
fn headed(path: &str, text: &str) -> Vec<String> {
    let fault = (!text.starts_with("//!")).then(|| {
        format!("{path}:1: no header; state what the file provides and must never do: `//! …`")
    });
    fault.into_iter().collect()
}

/// Registry: names every file of `provider/` once more than its `mod` declarations do.
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

/// All Rust files below a folder of the repository: path inside the folder and text.
fn files(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(next) = folders.pop() {
        for entry in
            fs::read_dir(&next).unwrap_or_else(|error| panic!("{}: {error}", next.display()))
        {
            let path = entry.expect("folder entry is readable").path();
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
                    .expect("file is below its folder");
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
fn assert_clean(faults: Vec<String>) {
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

/// Presets in `provider/`: the names of its files and folders, without `mod.rs` and `preset.rs`.
fn provider_names() -> Vec<String> {
    let mut names: Vec<String> = files("src/provider")
        .into_iter()
        .filter_map(|(path, _)| Some(path.split('/').next()?.trim_end_matches(".rs").to_owned()))
        .filter(|name| name != "mod" && name != "preset")
        .collect();
    names.dedup();
    names
}

/// Domain of each URL in `provider/`, or the port of a URL on the own machine.
fn provider_hosts() -> Vec<String> {
    let hosts = files("src/provider").into_iter().flat_map(|(_, text)| {
        let literals = Source::read(&text).without_tests().literals;
        let hosts = literals.into_iter().filter_map(|(_, literal)| {
            let host = match literal.split_once("://") {
                Some((_, rest)) => rest.split('/').next()?,
                None if literal.ends_with(".com") => literal.as_str(),
                None => return None,
            };
            match host.split_once(':') {
                Some((_, port)) => port.parse().ok().map(|port: u16| format!(":{port}")),
                None if host.contains('.') && !host.ends_with('}') => {
                    let mut labels: Vec<&str> = host.rsplit('.').take(2).collect();
                    labels.reverse();
                    Some(labels.join("."))
                }
                None => None,
            }
        });
        hosts.collect::<Vec<_>>()
    });
    let hosts: BTreeSet<String> = hosts.collect();
    hosts.into_iter().collect()
}

fn borrowed(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

#[test]
fn module_names_only_lower_rows() {
    assert_clean(all_of_src(layers));
}

#[test]
fn restricted_name_stays_in_its_folder() {
    assert_clean(all_of_src(fences));
}

#[test]
fn vendor_decision_stays_in_provider() {
    let (names, hosts) = (provider_names(), provider_hosts());
    assert!(names.len() > 10 && hosts.len() > 8, "{names:?} {hosts:?}");
    let (names, hosts) = (borrowed(&names), borrowed(&hosts));
    assert_clean(all_of_src(|path, text| vendors(path, text, &names, &hosts)));
}

#[test]
fn provider_registry_equals_folder() {
    let entry = fs::read_to_string(root().join("src/provider/mod.rs"))
        .expect("src/provider/mod.rs is readable");
    assert_clean(registry(&entry, &borrowed(&provider_names())));
}

#[test]
fn source_has_no_leftovers() {
    let faults = ["src", "tests", "benches"].into_iter().flat_map(|folder| {
        let faults = files(folder)
            .into_iter()
            .flat_map(|(path, text)| leftovers(&path, &text))
            .collect::<Vec<_>>();
        faults
            .into_iter()
            .map(move |fault| format!("{folder}/{fault}"))
    });
    assert_clean(faults.collect());
}

#[test]
fn file_opens_with_header() {
    assert_clean(all_of_src(headed));
    assert_clean(
        files("tests")
            .iter()
            .flat_map(|(path, text)| headed(path, text))
            .collect(),
    );
}

#[test]
fn unsafe_code_is_denied_at_root() {
    let library = fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs is readable");
    assert!(library.contains("#![deny(unsafe_code)]"));
    assert!(files("src").iter().all(|(path, text)| {
        ["cache/simd.rs", "process/heap.rs", "store/mapping.rs"].contains(&path.as_str())
            || !text.contains("allow(unsafe_code")
    }));
}

/// Files of `src`, `tests` and `benches` with their paths from the root of the repository.
fn all_files() -> Vec<(String, String)> {
    ["src", "tests", "benches"]
        .into_iter()
        .flat_map(|folder| {
            files(folder)
                .into_iter()
                .map(move |(path, text)| (format!("{folder}/{path}"), text))
        })
        .collect()
}

/// Faults of a rule in all files of the repository.
fn faults_in_all(rule: impl Fn(&str, &str) -> Vec<String>) -> Vec<String> {
    let files = all_files();
    files
        .iter()
        .flat_map(|(path, text)| rule(path, text))
        .collect()
}

#[test]
fn comment_opens_without_question_word() {
    assert_clean(faults_in_all(wording::comment_openings));
}

#[test]
fn type_name_is_noun() {
    assert_clean(faults_in_all(wording::participle_types));
}

#[test]
fn comment_cites_only_repository() {
    let is_page =
        |page: &str| root().join(page).is_file() || root().join("tests").join(page).is_file();
    assert_clean(faults_in_all(|path, text| {
        wording::outside_citations(path, text, is_page)
    }));
}

#[test]
fn file_length_is_within_limit() {
    assert_clean(faults_in_all(shape::file_length));
}

#[test]
fn function_length_is_within_limit() {
    assert_clean(faults_in_all(shape::function_length));
}

#[test]
fn nine_functions_in_ten_are_short() {
    let files = files("src");
    assert_clean(shape::share_of_short_functions(
        files.iter().map(|(_, text)| text.as_str()),
    ));
}

#[test]
fn folder_has_no_import_cycle() {
    let cycles = cycles::import_cycles(&files("src"));
    assert_clean(cycles.into_iter().map(|(_, fault)| fault).collect());
}
