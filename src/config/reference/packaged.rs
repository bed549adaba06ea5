//! Packaged configuration file: renders every key as a comment with its meaning, unit, range and default, so that the file as
//! installed sets nothing. `packaging/gatekeeper.toml` holds the result.

use std::fmt::Write;

use super::key::{KeyDefault, KeyKind, KeyReference, SectionReference};
use super::keys::SECTIONS;
use super::provider_types;

const COLUMNS: usize = 118;
const HEADER: &str = "\
Gatekeeper configuration. Lines that start with `#:` are settings; remove the `#: ` to use one. Every setting shows its default, \
or an example where it says that it has none. No secret belongs in this file. `gatekeeper check` reports all errors in it at once; \
the manual has the same keys as a table (docs/configuration.md). Generated from src/config/reference/keys.rs.";
const PROVIDER_EXAMPLES: &str = include_str!("../../../packaging/provider-examples.toml");

/// Values of keys without a default, which cannot be made from their kind.
const EXAMPLES: &[(&str, &str, &str)] = &[
    ("", "data", "\"/var/lib/gatekeeper\""),
    ("", "tls", "\"off\""),
    ("", "tls_cert", "\"/etc/gatekeeper/tls/cert.pem\""),
    ("", "tls_key", "\"/etc/gatekeeper/tls/key.pem\""),
    ("", "admin_listen", "\"127.0.0.1:4001\""),
    ("", "public_url", "\"https://gatekeeper.example.com\""),
    ("", "seal_key", "\"credential:seal_key\""),
    ("", "workers", "2"),
    ("", "user_header", "\"x-openwebui-user-email\""),
    ("egress", "proxy", "\"http://proxy.example.com:3128\""),
    ("egress", "proxy_user", "\"gatekeeper\""),
    ("egress", "ca_file", "\"/etc/gatekeeper/ca.pem\""),
    (
        "alerts",
        "webhook",
        "\"https://hooks.example.com/gatekeeper\"",
    ),
    (
        "audit",
        "forward",
        "\"https://siem.example.com/gatekeeper\"",
    ),
    ("audit", "file", "\"/var/log/gatekeeper/audit.jsonl\""),
    ("audit", "syslog", "\"unix:/dev/log\""),
    ("otlp", "endpoint", "\"http://127.0.0.1:4318\""),
    (
        "sign_in.oidc",
        "issuer",
        "\"https://id.example.com/realms/corp\"",
    ),
    ("cache", "threshold", "\"0.80\""),
    ("sign_in.oidc", "client_id", "\"gatekeeper\""),
    ("sign_in.oidc", "role_claim", "\"groups\""),
];

/// Renders the file.
pub fn toml() -> String {
    let mut text = comment("", HEADER);
    for section in SECTIONS {
        text += &match section.name {
            name if name.contains("NAME") => list(section),
            _ => settings(section),
        };
    }
    text + "\n" + PROVIDER_EXAMPLES
}

/// Section with one commented line per key.
fn settings(section: &SectionReference) -> String {
    let mut text = String::new();
    if !section.name.is_empty() {
        // writing to a String cannot fail
        let _ = write!(
            text,
            "\n\n#: [{}]\n{}",
            section.name,
            comment("", section.summary)
        );
    }
    for key in section.keys {
        let about = format!("{} {}", key.meaning, sentence(key));
        let value = value(section.name, key);
        let _ = write!(text, "\n{}#: {} = {value}\n", comment("", &about), key.name);
    }
    text
}

/// Section whose name the operator chooses: the keys are listed, and examples follow at the end of the file.
fn list(section: &SectionReference) -> String {
    let summary = section.summary.replace("{types}", &provider_types());
    let mut text = format!("\n\n# [{}]\n{}#\n", section.name, comment("", &summary));
    for key in section.keys {
        let about = format!("{}  {} {}", key.name, key.meaning, sentence(key));
        text += &comment("  ", &about);
    }
    text
}

/// Kind, unit and default, as far as the line of the setting does not show them.
fn sentence(key: &KeyReference) -> String {
    let range = match key.kind {
        KeyKind::Integer { min, max } => format!("{min} to {max}"),
        KeyKind::Choice(_) | KeyKind::ChoiceOrTable(_) => key.kind.describe().replace('`', ""),
        _ => String::new(),
    };
    let unit = match (range.is_empty(), key.unit) {
        (_, "") => range,
        (true, unit) => unit.to_owned(),
        (false, unit) => format!("{range} {unit}"),
    };
    let default = format!("default {}", key.default.describe().replace('`', ""));
    let parts = [unit, default];
    let parts: Vec<&str> = parts
        .iter()
        .map(String::as_str)
        .filter(|part| !part.is_empty())
        .collect();
    format!("({})", parts.join("; "))
}

fn value(section: &str, key: &KeyReference) -> String {
    if let KeyDefault::Toml(value) = key.default {
        return value.to_owned();
    }
    let example = EXAMPLES
        .iter()
        .find(|(of, name, _)| *of == section && *name == key.name);
    if let Some((_, _, value)) = example {
        return (*value).to_owned();
    }
    match key.kind {
        KeyKind::Secret => format!("\"credential:{}\"", key.name),
        KeyKind::Integer { min, .. } => min.to_string(),
        KeyKind::Boolean => "false".to_owned(),
        KeyKind::Choice(words) | KeyKind::ChoiceOrTable(words) => format!("\"{}\"", words[0]),
        KeyKind::Strings | KeyKind::Targets | KeyKind::Secrets => "[]".to_owned(),
        KeyKind::StringTable | KeyKind::Table | KeyKind::Tables => "{}".to_owned(),
        KeyKind::Amount => "\"1.00\"".to_owned(),
        KeyKind::String => "\"\"".to_owned(),
    }
}

/// Text as comment lines of bounded width.
fn comment(indent: &str, text: &str) -> String {
    let (mut lines, mut line) = (String::new(), String::new());
    for word in text.split(' ') {
        if !line.is_empty() && line.chars().count() + word.chars().count() + 4 > COLUMNS {
            lines += &format!("# {indent}{line}\n");
            line = "  ".repeat(indent.len() / 2);
        }
        if !line.trim().is_empty() {
            line.push(' ');
        }
        line += word;
    }
    lines + &format!("# {indent}{line}\n")
}
