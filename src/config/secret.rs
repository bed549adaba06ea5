//! Where a secret is kept: takes `env:NAME`, `file:/path` or `credential:NAME`, answers with the secret it finds there.
//! A secret itself is never accepted in the file, and no message repeats one.
//!
//! A secret read from the environment stays readable in `/proc/PID/environ` for the service's own user: taking it out
//! would need `unsafe` code, and would not wipe the kernel's copy. `file:` and `credential:` leave no such trace.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::domain::secret::Secret;

/// How environment variables are looked up; tests pass their own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The environment of this process. A value that is not UTF-8 counts as not set.
pub fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A place that holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    Env(String),
    File(PathBuf),
    /// a file of systemd's `LoadCredential`, in `$CREDENTIALS_DIRECTORY`
    Credential(String),
}

/// What to write where a secret was asked for.
const REMEDY: &str =
    "write where the key is kept: \"env:NAME\", \"file:/path\" or \"credential:NAME\" (systemd)";

/// A longer one is no key but a wrong file.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

impl SecretSource {
    pub fn parse(written: &str) -> Result<SecretSource, String> {
        let (kind, rest) = written.split_once(':').unwrap_or((written, ""));
        match kind {
            "env" if is_variable(rest) => Ok(SecretSource::Env(rest.to_owned())),
            "env" => Err(
                "env: needs the name of an environment variable, like env:OPENAI_API_KEY"
                    .to_owned(),
            ),
            "file" if rest.starts_with('/') => Ok(SecretSource::File(PathBuf::from(rest))),
            "file" => {
                Err("file: needs an absolute path, like file:/etc/gatekeeper/openai.key".to_owned())
            }
            "credential" if is_file_name(rest) => Ok(SecretSource::Credential(rest.to_owned())),
            "credential" => Err(
                "credential: needs the name given to LoadCredential=, like credential:openai"
                    .to_owned(),
            ),
            _ => Err(format!(
                "a key itself does not belong in this file; {REMEDY}"
            )),
        }
    }

    /// Reads the secret.
    pub fn read(&self, environment: Environment<'_>) -> Result<Secret, String> {
        let text = match self {
            SecretSource::Env(name) => environment(name).ok_or_else(|| {
                format!("${name} is not set in the environment; set it and start again")
            })?,
            SecretSource::File(path) => read_file(path)?,
            SecretSource::Credential(name) => {
                let folder = environment("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                    format!("credential:{name} needs $CREDENTIALS_DIRECTORY; systemd sets it for a unit with LoadCredential={name}:/path")
                })?;
                read_file(&Path::new(&folder).join(name))?
            }
        };
        let text = text.trim();
        if text.is_empty() {
            return Err(format!("{} is empty; put the key there", self.describe()));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "{} holds more than one word or letters no key has; put only the key there",
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

fn read_file(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| {
        format!(
            "{} cannot be read ({error}); check the path and its owner",
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
            "{} is larger than 64 KiB; a file with one key is expected",
            path.display()
        ));
    }
    Ok(text)
}

fn is_variable(name: &str) -> bool {
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
    fn a_literal_key_is_refused_with_the_remedy_and_not_repeated() {
        let message = SecretSource::parse(LITERAL).expect_err("a literal");
        assert!(
            message.contains("env:NAME") && !message.contains(LITERAL),
            "{message}"
        );
    }

    #[test]
    fn a_secret_is_found_in_the_environment_a_file_and_a_systemd_credential() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("openai"), format!("{LITERAL}\n"))
            .expect("write the secret");
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
        ] {
            let secret = SecretSource::parse(&written)
                .expect(&written)
                .read(&environment)
                .expect(&written);
            assert_eq!(secret.expose(), LITERAL);
        }
    }

    #[test]
    fn what_cannot_be_found_or_is_no_key_says_where_it_was_looked_for() {
        let environment = |name: &str| match name {
            "EMPTY" => Some(" ".to_owned()),
            "TWO" => Some(format!("{LITERAL} {LITERAL}")),
            _ => None,
        };
        for (written, expected) in [
            ("env:NOPE", "$NOPE is not set"),
            ("env:EMPTY", "$EMPTY is empty"),
            ("env:TWO", "more than one word"),
            ("file:/nowhere/key", "/nowhere/key cannot be read"),
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
