//! Secret sources: takes `env:NAME`, `file:/path` or `credential:NAME`, returns the secret stored there. Must never
//! accept a literal secret or repeat one in a message.
//!
//! A secret read from the environment stays readable in `/proc/PID/environ` for the service's own user: removing it
//! would need `unsafe` code and would not wipe the kernel's copy. `file:` and `credential:` leave no such trace.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::domain::secret::Secret;

/// Lookup of environment variables; tests pass their own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Looks up a variable of this process. A value that is not UTF-8 counts as not set.
pub fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Place that stores a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    Env(String),
    File(PathBuf),
    /// file in `$CREDENTIALS_DIRECTORY`, provided by systemd's `LoadCredential`
    Credential(String),
}

/// Syntax of a secret source.
const REMEDY: &str =
    "write the source of the key: \"env:NAME\", \"file:/path\" or \"credential:NAME\" (systemd)";

/// Folder that the packaged unit loads, `LoadCredential=gatekeeper:/etc/gatekeeper/credentials`, and the prefix that systemd
/// gives its files.
const CREDENTIALS_FOLDER: &str = "/etc/gatekeeper/credentials";
const CREDENTIALS_PREFIX: &str = "gatekeeper_";

/// Larger files cannot be keys.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

impl SecretSource {
    pub fn parse(written: &str) -> Result<SecretSource, String> {
        let (kind, rest) = written.split_once(':').unwrap_or((written, ""));
        match kind {
            "env" if is_variable_name(rest) => Ok(SecretSource::Env(rest.to_owned())),
            "env" => Err(
                "invalid variable name after env:; use e.g. env:OPENAI_API_KEY"
                    .to_owned(),
            ),
            "file" if rest.starts_with('/') => Ok(SecretSource::File(PathBuf::from(rest))),
            "file" => {
                Err("relative path after file:; use e.g. file:/etc/gatekeeper/openai.key".to_owned())
            }
            "credential" if is_file_name(rest) => Ok(SecretSource::Credential(rest.to_owned())),
            "credential" => Err(
                "invalid name after credential:; use the name in LoadCredential=, e.g. credential:openai"
                    .to_owned(),
            ),
            _ => Err(format!(
                "invalid secret source; a key must not be in this file; {REMEDY}"
            )),
        }
    }

    /// Place of the secret for an operator: a variable or a file.
    pub fn place(&self) -> String {
        match self {
            SecretSource::Env(name) => format!("${name}"),
            SecretSource::File(path) => path.display().to_string(),
            SecretSource::Credential(name) => format!("{CREDENTIALS_FOLDER}/{name}"),
        }
    }

    /// Reads the secret from its source.
    pub fn read(&self, environment: Environment<'_>) -> Result<Secret, String> {
        let text = match self {
            SecretSource::Env(name) => environment(name).ok_or_else(|| {
                format!("${name} is not set; set it in the environment and restart")
            })?,
            SecretSource::File(path) => read_file(path)?,
            SecretSource::Credential(name) => read_file(&credential_path(name, environment)?)?,
        };
        let text = text.trim();
        if text.is_empty() {
            return Err(format!("{} is empty; store the key there", self.describe()));
        }
        let is_quote = |quote: char| text.starts_with(quote) && text.ends_with(quote);
        if is_quote('"') || is_quote('\'') {
            return Err(format!(
                "{} is in quotes; store the key without them",
                self.describe()
            ));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "{} contains spaces or non-ASCII characters; store only the key there",
                self.describe()
            ));
        }
        Ok(Secret::new(text))
    }

    fn describe(&self) -> String {
        match self {
            SecretSource::Env(name) => format!("${name}"),
            SecretSource::File(path) => path.display().to_string(),
            SecretSource::Credential(name) => format!("credential {name}"),
        }
    }
}

/// File of a credential. A unit may load it by its own name, or with the whole folder, which systemd marks by a prefix. A
/// command that root runs outside the unit finds it where the unit loads it from.
fn credential_path(name: &str, environment: Environment<'_>) -> Result<PathBuf, String> {
    let Some(folder) = environment("CREDENTIALS_DIRECTORY") else {
        let source = Path::new(CREDENTIALS_FOLDER).join(name);
        if source.exists() {
            return Ok(source);
        }
        return Err(format!(
            "credential:{name} requires $CREDENTIALS_DIRECTORY, which systemd sets for a unit with LoadCredential={name}:/path, or \
             the file {}",
            source.display()
        ));
    };
    let own = Path::new(&folder).join(name);
    let of_folder = Path::new(&folder).join(format!("{CREDENTIALS_PREFIX}{name}"));
    Ok(if of_folder.exists() { of_folder } else { own })
}

fn read_file(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| {
        format!(
            "failed to read {} ({error}); check its path and owner",
            path.display()
        )
    };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(SECRET_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(format!(
            "{} is larger than 64 KiB; use a file that contains only the key",
            path.display()
        ));
    }
    Ok(text)
}

fn is_variable_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    const LITERAL: &str = "sk-proj-0123456789abcdef";

    #[test]
    fn secret_literal_is_rejected_without_repeating_it() {
        let message = SecretSource::parse(LITERAL).expect_err("a literal");
        assert!(
            message.contains("env:NAME") && !message.contains(LITERAL),
            "{message}"
        );
    }

    #[test]
    fn secret_is_read_from_environment_file_and_systemd_credential() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["openai", "gatekeeper_anthropic"] {
            std::fs::write(folder.path().join(name), format!("{LITERAL}\n"))
                .expect("write the secret");
        }
        let credentials = folder.path().display().to_string();
        let environment = |name: &str| match name {
            "KEY" => Some(LITERAL.to_owned()),
            "CREDENTIALS_DIRECTORY" => Some(credentials.clone()),
            _ => None,
        };
        for written in [
            "env:KEY".to_owned(),
            format!("file:{credentials}/openai"),
            "credential:openai".to_owned(),
            "credential:anthropic".to_owned(),
        ] {
            let secret = SecretSource::parse(&written)
                .expect(&written)
                .read(&environment)
                .expect(&written);
            assert_eq!(secret.expose(), LITERAL);
        }
    }

    #[test]
    fn secret_unreadable_source_is_named_in_error() {
        let environment = |name: &str| match name {
            "EMPTY" => Some(" ".to_owned()),
            "TWO" => Some(format!("{LITERAL} {LITERAL}")),
            "QUOTED" => Some(format!("\"{LITERAL}\"")),
            "SINGLE" => Some(format!("'{LITERAL}'\n")),
            _ => None,
        };
        for (written, expected) in [
            ("env:NOPE", "$NOPE is not set"),
            ("env:EMPTY", "$EMPTY is empty"),
            ("env:TWO", "contains spaces"),
            ("env:QUOTED", "$QUOTED is in quotes"),
            ("env:SINGLE", "$SINGLE is in quotes"),
            ("file:/nowhere/key", "failed to read /nowhere/key"),
            ("credential:openai", "LoadCredential=openai"),
        ] {
            let message = SecretSource::parse(written)
                .expect(written)
                .read(&environment)
                .expect_err(written);
            assert!(
                message.contains(expected) && !message.contains(LITERAL),
                "{message}"
            );
        }
        for written in [
            "env:",
            "env:A B",
            "file:relative",
            "credential:../x",
            "credential:",
        ] {
            assert!(SecretSource::parse(written).is_err(), "{written}");
        }
    }
}
