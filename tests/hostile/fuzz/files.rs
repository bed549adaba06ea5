//! Mutated files: configurations through `check`, and the log of a killed process through a start.

use std::fs;
use std::process::Output;

use serde_json::json;

use super::mutator::Mutator;
use super::seed;
use crate::harness::process::Gatekeeper;
use crate::harness::upstream::Upstream;
use crate::hostile::{count_from_env, print_figure};

/// Exit code of a process that panicked.
const PANICKED: i32 = 101;

/// Values of settings that break assumptions.
const SETTINGS: [&str; 12] = [
    "0",
    "-1",
    "18446744073709551616",
    "\"\"",
    "\"env:\"",
    "\"file:/\"",
    "[]",
    "{}",
    "1979-05-27",
    "\"\\u0000\"",
    "\"UTC+25\"",
    "[[\"a\"]]",
];

fn mutated_configuration(mutator: &mut Mutator, text: &str) -> Vec<u8> {
    if mutator.once_in(2) {
        return mutator.bytes(text.as_bytes());
    }
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for _ in 0..=mutator.below(3) {
        let at = mutator.below(lines.len());
        let value = *mutator.pick(&SETTINGS);
        let changed = match lines[at].split_once('=') {
            Some((name, _)) => format!("{}={value}", name.trim_start_matches(['#', ':', ' '])),
            None => lines[mutator.below(text.lines().count())].clone(),
        };
        lines[at] = changed;
    }
    lines.join("\n").into_bytes()
}

/// A configuration that is TOML for certain, with values of other settings or of `SETTINGS`, so that every change reaches the reader of
/// the settings and none ends at the parser.
fn valid_toml(mutator: &mut Mutator, text: &str) -> Vec<u8> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let settings: Vec<(usize, String, String)> = lines
        .iter()
        .enumerate()
        .filter_map(|(at, line)| {
            let (name, value) = line.split_once(" = ")?;
            let name = name.trim_start_matches(['#', ':', ' ']);
            (!name.contains(' ')).then(|| (at, name.to_owned(), value.to_owned()))
        })
        .collect();
    for _ in 0..=mutator.below(3) {
        let (at, name, _) = mutator.pick(&settings);
        let value = if mutator.once_in(2) {
            mutator.pick(&settings).2.as_str()
        } else {
            *mutator.pick(&SETTINGS)
        };
        let before = std::mem::replace(&mut lines[*at], format!("{name} = {value}"));
        if toml::from_str::<toml::Table>(&lines.join("\n")).is_err() {
            lines[*at] = before;
        }
    }
    lines.join("\n").into_bytes()
}

fn assert_no_panic(output: &Output, what: &[u8]) {
    let text = String::from_utf8_lossy(&output.stderr);
    let ended = output.status.code().is_some_and(|code| code != PANICKED);
    assert!(
        ended && !text.contains("panicked at"),
        "{text}\n{}",
        String::from_utf8_lossy(what)
    );
}

#[test]
fn mutated_configuration_is_checked_or_refused() {
    let upstream = Upstream::start();
    let gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let own = fs::read_to_string(&gatekeeper.config).expect("a configuration");
    let example = fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/packaging/gatekeeper.toml"
    ))
    .expect("the example");
    let mut mutator = Mutator::new(seed(), &[]);
    let path = gatekeeper.folder().join("mutated.toml");
    let mut valid = 0;
    for _ in 0..count_from_env("GK_FUZZ_CONFIGURATIONS", 60) {
        let text = if mutator.once_in(3) { &example } else { &own };
        let message = if mutator.once_in(2) {
            valid_toml(&mut mutator, text)
        } else {
            mutated_configuration(&mut mutator, text)
        };
        fs::write(&path, &message).expect("written");
        let output = gatekeeper.run(&["check", "--config", &path.display().to_string()]);
        assert_no_panic(&output, &message);
        valid += usize::from(output.status.success());
    }
    print_figure("valid among the mutated configurations", &valid.to_string());
}

/// A start either refuses the log and names the repair, or cuts what was never synced; it never panics and never waits for ever.
#[test]
fn mutated_log_is_refused_or_cut_at_a_start() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
        .ledger("segment_mb = 1")
        .start();
    let team = gatekeeper.team_with_budget("log", "10");
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    let body = json!({"model": "m-small", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]});
    for _ in 0..20 {
        user.chat(&body).assert_status(200);
    }
    gatekeeper.kill_9();
    // the log that is left may be in the books; mutated bytes may hide synced records
    gatekeeper.skip_books_check();
    let ledger = gatekeeper.data.join("ledger");
    let mut files: Vec<_> = fs::read_dir(&ledger)
        .expect("a folder")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    let path = files.remove(0);
    let books = gatekeeper.data.join("gatekeeper.redb");
    let (log, kept_books) = (
        fs::read(&path).expect("a segment"),
        fs::read(&books).expect("books"),
    );
    let used = log.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
    let mut mutator = Mutator::new(seed(), &[]);
    let (mut refused, mut started) = (0, 0);
    for _ in 0..count_from_env("GK_FUZZ_LOGS", 8) {
        let mut mutated = mutator.bytes(&log[..used]);
        mutated.resize(log.len(), 0);
        for file in fs::read_dir(&ledger).expect("a folder").flatten() {
            fs::remove_file(file.path()).expect("removed");
        }
        fs::write(&path, &mutated).expect("written");
        fs::write(&books, &kept_books).expect("written");
        match gatekeeper.try_start() {
            Ok(()) => {
                started += 1;
                gatekeeper.kill_9();
            }
            Err(text) => {
                refused += 1;
                assert!(text.contains("ledger"), "{text}");
            }
        }
        assert!(
            !gatekeeper.all_output().contains("panicked at"),
            "{}",
            gatekeeper.output()
        );
    }
    print_figure(
        "mutated logs refused, cut",
        &format!("{refused}, {started}"),
    );
}
