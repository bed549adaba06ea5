//! Schema of the settings and of everything that stores content.

use schemars::SchemaGenerator;
use serde_json::Value;

use super::schema::{array, constant, count, flag, nullable, object, text};

pub(super) fn settings(_: &mut SchemaGenerator) -> Value {
    let setting = object(&[
        ("object", constant("setting")),
        ("name", text()),
        ("value", nullable(text())),
        ("secret", flag()),
        ("pending", flag()),
        ("managed_by_file", flag()),
    ]);
    let stored = object(&[
        ("object", constant("stored_content")),
        ("name", text()),
        ("on", flag()),
        ("what", text()),
        ("file", text()),
        ("sealed", flag()),
        ("in_backups", flag()),
        ("entries", nullable(count())),
        ("bytes", nullable(count())),
        ("purge", text()),
    ]);
    object(&[
        ("data", array(setting)),
        ("next", nullable(text())),
        ("stored_content", array(stored)),
    ])
}
