//! The `[reasoning_memory]` section: whether and for how long thoughts of models are kept; and where the key is that seals them.

use crate::config::file::{ConfigErrors, Section, Spanned, kind};
use crate::config::secret::{Environment, SecretSource};
use crate::config::{DAY_MS, MIB, ReasoningMemoryConfig, SealKeySource};
use crate::domain::secret::Secret;
use toml::de::DeValue;

const KEY_LETTERS_MIN: usize = 32;

pub(super) fn resolve(
    mut section: Section<'_>,
    faults: &mut ConfigErrors,
) -> ReasoningMemoryConfig {
    let usual = ReasoningMemoryConfig::default();
    let memory = ReasoningMemoryConfig {
        enabled: enabled(&mut section, usual.enabled, faults),
        keep_ms: section.whole("days", usual.keep_ms / DAY_MS, 1..=90, faults) * DAY_MS,
        entries_max: section.whole("entries_max", usual.entries_max, 1..=10_000_000, faults),
        bytes_max: section.whole("size_mb", usual.bytes_max / MIB, 1..=1_000_000, faults) * MIB,
    };
    section.finish(faults);
    memory
}

fn enabled(section: &mut Section<'_>, usual: bool, faults: &mut ConfigErrors) -> bool {
    let Some(entry) = section.take("enabled") else {
        return usual;
    };
    match &entry.value {
        DeValue::Boolean(enabled) => *enabled,
        other => {
            entry.fault(
                faults,
                format_args!("is {}; write true or false", kind(other)),
            );
            usual
        }
    }
}

/// Without an environment no secret is read: for commands that seal nothing.
pub(super) fn seal_key(
    written: Option<Spanned<String>>,
    environment: Option<Environment<'_>>,
    faults: &mut ConfigErrors,
) -> SealKeySource {
    let (written, environment) = match (written, environment) {
        (None, _) => return SealKeySource::Folder,
        (Some(_), None) => return unread(),
        (Some(written), Some(environment)) => (written, environment),
    };
    let read = |source: &String| {
        let secret = SecretSource::parse(source)?.read(environment)?;
        match secret.expose().len() {
            KEY_LETTERS_MIN.. => Ok(secret),
            _ => Err(format!(
                "leads to a key of fewer than {KEY_LETTERS_MIN} letters; make one with: openssl rand -hex 32"
            )),
        }
    };
    written
        .checked(faults, read)
        .map_or_else(unread, SealKeySource::Configured)
}

fn unread() -> SealKeySource {
    SealKeySource::Configured(Secret::new(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file;

    fn resolved(text: &str) -> Result<(ReasoningMemoryConfig, SealKeySource), String> {
        let mut faults = ConfigErrors::default();
        let mut top = file::parse("gatekeeper.toml", text, &mut faults);
        let environment = |name: &str| match name {
            "KEY" => Some("k".repeat(32)),
            "SHORT" => Some("k".repeat(31)),
            _ => None,
        };
        let key = seal_key(
            top.text("seal_key", &mut faults),
            Some(&environment),
            &mut faults,
        );
        let memory = resolve(top, &mut faults);
        if faults.0.is_empty() {
            Ok((memory, key))
        } else {
            Err(faults.to_string())
        }
    }

    #[test]
    fn nothing_said_is_seven_days_and_a_key_in_the_folder() {
        let (memory, key) = resolved("").expect("defaults");
        assert!(memory.enabled);
        assert_eq!(
            (memory.keep_ms, memory.entries_max, memory.bytes_max),
            (7 * 86_400_000, 100_000, 1 << 30)
        );
        assert!(matches!(key, SealKeySource::Folder));
    }

    #[test]
    fn all_of_it_can_be_said() {
        let text =
            "seal_key = \"env:KEY\"\nenabled = false\ndays = 1\nentries_max = 5\nsize_mb = 2";
        let (memory, key) = resolved(text).expect("settings");
        assert!(!memory.enabled);
        assert_eq!(
            (memory.keep_ms, memory.entries_max, memory.bytes_max),
            (86_400_000, 5, 2 << 20)
        );
        let SealKeySource::Configured(secret) = &key else {
            panic!("{key:?}")
        };
        assert_eq!(secret.expose().len(), 32);
        assert!(!format!("{key:?}").contains("kkkk"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, says) in [
            ("enabled = 1", "write true or false"),
            ("days = 0", "from 1 to 90"),
            ("seal_key = \"env:SHORT\"", "fewer than 32 letters"),
            ("seal_key = \"env:NONE\"", "$NONE is not set"),
            ("dayz = 1", "not a key that is known here"),
        ] {
            let faults = resolved(text).expect_err(text);
            assert!(
                faults.contains(says) && !faults.contains("kkkk"),
                "{faults}"
            );
        }
    }
}
