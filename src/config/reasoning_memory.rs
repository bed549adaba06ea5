//! The `[reasoning_memory]` section: bounds of the stored reasoning; and `seal_key`, the source of the key that seals
//! it. Must never repeat the key in a message.

use super::file::{ConfigErrors, Section, Spanned};
use super::secret::{Environment, SecretSource};
use super::settings::{DAY_MS, MIB, ReasoningMemoryConfig, SealKeySource};

const KEY_BYTES_MIN: usize = 32;

pub(super) fn resolve(
    mut section: Section<'_>,
    errors: &mut ConfigErrors,
) -> ReasoningMemoryConfig {
    let default = ReasoningMemoryConfig::default();
    let memory = ReasoningMemoryConfig {
        enabled: section.boolean("enabled", default.enabled, errors),
        keep_ms: section.integer("days", default.keep_ms / DAY_MS, 1..=90, errors) * DAY_MS,
        entries_max: section.integer("entries_max", default.entries_max, 1..=10_000_000, errors),
        bytes_max: section.integer("size_mb", default.bytes_max / MIB, 1..=1_000_000, errors) * MIB,
    };
    section.finish(errors);
    memory
}

/// Without an environment no secret is read: for commands that seal nothing.
pub(super) fn seal_key(
    written: Option<Spanned<String>>,
    environment: Option<Environment<'_>>,
    errors: &mut ConfigErrors,
) -> SealKeySource {
    let (written, environment) = match (written, environment) {
        (None, _) => return SealKeySource::Folder,
        (Some(written), None) => {
            return written
                .parse(errors, |source| SecretSource::parse(source))
                .map_or(SealKeySource::Folder, SealKeySource::Unread);
        }
        (Some(written), Some(environment)) => (written, environment),
    };
    let read_key = |source: &String| {
        let secret = SecretSource::parse(source)?.read(environment)?;
        match secret.expose().len() {
            KEY_BYTES_MIN.. => Ok(secret),
            _ => Err(format!(
                "key shorter than {KEY_BYTES_MIN} characters; create one with: openssl rand -hex 32"
            )),
        }
    };
    written
        .parse(errors, read_key)
        .map_or(SealKeySource::Folder, SealKeySource::Configured)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file;

    fn resolved(text: &str) -> Result<(ReasoningMemoryConfig, SealKeySource), String> {
        let mut errors = ConfigErrors::default();
        let mut top = file::parse("gatekeeper.toml", text, &mut errors);
        let environment = |name: &str| match name {
            "KEY" => Some("k".repeat(32)),
            "SHORT" => Some("k".repeat(31)),
            _ => None,
        };
        let key = seal_key(
            top.string("seal_key", &mut errors),
            Some(&environment),
            &mut errors,
        );
        let memory = resolve(top, &mut errors);
        if errors.0.is_empty() {
            Ok((memory, key))
        } else {
            Err(errors.to_string())
        }
    }

    #[test]
    fn reasoning_memory_default_is_7_days_with_key_in_folder() {
        let (memory, key) = resolved("").expect("defaults");
        assert!(memory.enabled);
        assert_eq!(
            (memory.keep_ms, memory.entries_max, memory.bytes_max),
            (7 * 86_400_000, 100_000, 1 << 30)
        );
        assert!(matches!(key, SealKeySource::Folder));
    }

    #[test]
    fn reasoning_memory_all_keys_are_resolved() {
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
    fn reasoning_memory_invalid_setting_is_reported() {
        for (text, message) in [
            ("enabled = 1", "write true or false"),
            ("days = 0", "from 1 to 90"),
            ("seal_key = \"env:SHORT\"", "shorter than 32 characters"),
            ("seal_key = \"env:NONE\"", "$NONE is not set"),
            ("dayz = 1", "unknown key"),
        ] {
            let errors = resolved(text).expect_err(text);
            assert!(
                errors.contains(message) && !errors.contains("kkkk"),
                "{errors}"
            );
        }
    }
}
