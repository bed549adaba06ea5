//! The `[capture]` section: bounds of prompt capture, which is turned on per team and key in the control plane.

use super::file::{ConfigErrors, Section};
use super::settings::{CaptureConfig, MIB};

const KIB: u64 = 1024;

pub(super) fn resolve(mut section: Section<'_>, errors: &mut ConfigErrors) -> CaptureConfig {
    let default = CaptureConfig::default();
    let capture = CaptureConfig {
        enabled: section.boolean("enabled", default.enabled, errors),
        file_bytes_max: section.integer(
            "size_mb",
            default.file_bytes_max / MIB,
            8..=1_000_000,
            errors,
        ) * MIB,
        queue_bytes_max: (section.integer(
            "queue_mb",
            default.queue_bytes_max as u64 / MIB,
            1..=1_024,
            errors,
        ) * MIB) as usize,
        media_bytes_max: (section.integer(
            "image_kb",
            default.media_bytes_max as u64 / KIB,
            1..=32_768,
            errors,
        ) * KIB) as usize,
    };
    section.finish(errors);
    capture
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file;

    fn resolved(text: &str) -> Result<CaptureConfig, String> {
        let mut errors = ConfigErrors::default();
        let top = file::parse("gatekeeper.toml", text, &mut errors);
        let capture = resolve(top, &mut errors);
        if errors.0.is_empty() {
            Ok(capture)
        } else {
            Err(errors.to_string())
        }
    }

    #[test]
    fn capture_keys_are_resolved_and_invalid_ones_reported() {
        let capture = resolved("").expect("defaults");
        assert!(capture.enabled);
        assert_eq!(capture.file_bytes_max, 1024 << 20);
        let text = "enabled = false\nsize_mb = 8\nqueue_mb = 1\nimage_kb = 2";
        let capture = resolved(text).expect("settings");
        assert!(!capture.enabled);
        let sizes = (
            capture.file_bytes_max,
            capture.queue_bytes_max,
            capture.media_bytes_max,
        );
        assert_eq!(sizes, (8 << 20, 1 << 20, 2 << 10));
        for (text, message) in [("size_mb = 7", "from 8 to"), ("days = 1", "unknown key")] {
            let errors = resolved(text).expect_err(text);
            assert!(errors.contains(message), "{errors}");
        }
    }
}
