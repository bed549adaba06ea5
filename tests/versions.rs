//! Minimum versions: checks `Cargo.lock` against `packaging/minimum-versions.toml`. No crate is below its floor, and no
//! exception is obsolete; each fault names its advisory. It must never need a network.

use std::cmp::Ordering;
use std::fs;

use toml::{Table, Value};

fn read(file: &str) -> Table {
    let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.parse()
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn rows<'a>(table: &'a Table, name: &str) -> Vec<&'a Table> {
    table
        .get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_table)
        .collect()
}

fn word<'a>(row: &'a Table, name: &str) -> &'a str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Numbers of a version, without pre-release and build metadata.
fn numbers(version: &str) -> Vec<u64> {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    core.split('.')
        .map(|part| {
            part.parse()
                .unwrap_or_else(|_| panic!("`{version}` is not a version"))
        })
        .collect()
}

fn compare(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (numbers(one), numbers(other));
    one.resize(3, 0);
    other.resize(3, 0);
    one.cmp(&other)
}

fn versions_of<'a>(lock: &'a Table, name: &str) -> Vec<&'a str> {
    rows(lock, "package")
        .into_iter()
        .filter(|package| word(package, "name") == name)
        .map(|package| word(package, "version"))
        .collect()
}

/// Faults of a lock file under the rules.
fn faults(lock: &Table, rules: &Table) -> Vec<String> {
    let mut faults = Vec::new();
    for rule in rows(rules, "crate") {
        let (name, floor) = (word(rule, "name"), word(rule, "floor"));
        for version in versions_of(lock, name)
            .into_iter()
            .filter(|version| compare(version, floor).is_lt())
        {
            faults.push(format!(
                "{name} {version} is below {floor}: {} {}",
                word(rule, "advisory"),
                word(rule, "why")
            ));
        }
    }
    for rule in rows(rules, "exception") {
        let (name, exact, below) = (word(rule, "name"), word(rule, "exact"), word(rule, "below"));
        let applies = |version: &&str| {
            (exact.is_empty() || *version == exact)
                && (below.is_empty() || compare(version, below).is_lt())
        };
        let versions = versions_of(lock, name);
        if versions.is_empty() || !versions.iter().any(applies) {
            faults.push(format!(
                "the exception for {name} ({}) is no longer needed or no longer covers {versions:?}",
                word(rule, "advisory")
            ));
        }
        if word(rule, "why").is_empty() {
            faults.push(format!("the exception for {name} has no reason"));
        }
    }
    faults
}

#[test]
fn locked_crates_are_at_or_above_minimum_versions() {
    let rules = read("packaging/minimum-versions.toml");
    assert!(
        rows(&rules, "crate").len() > 10,
        "the list of minimum versions is read"
    );
    let faults = faults(&read("Cargo.lock"), &rules);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn lock_file_with_old_crate_or_obsolete_exception_is_reported() {
    let rules: Table =
        "[[crate]]\nname = 'a'\nfloor = '1.2.3'\n[[exception]]\nname = 'b'\nexact = '2.0.1'\nwhy = 'x'".parse().expect("rules");
    let lock = |a: &str, b: &str| -> Table {
        format!(
            "[[package]]\nname = 'a'\nversion = '{a}'\n[[package]]\nname = 'b'\nversion = '{b}'"
        )
        .parse()
        .expect("a lock file")
    };
    assert_eq!(
        faults(&lock("1.2.3", "2.0.1"), &rules),
        Vec::<String>::new()
    );
    assert_eq!(
        faults(&lock("1.10.0+x", "2.0.1"), &rules),
        Vec::<String>::new()
    );
    assert_eq!(faults(&lock("1.2.2", "2.0.1"), &rules).len(), 1);
    assert_eq!(faults(&lock("1.2.3", "2.0.2"), &rules).len(), 1);
}
