//! Types of the configuration reference: sections and keys, with kind, default and unit.

/// One table of the file.
pub(super) struct SectionReference {
    /// `limits`, `providers.NAME`; empty at the top level
    pub name: &'static str,
    pub summary: &'static str,
    pub keys: &'static [KeyReference],
}

#[derive(Clone, Copy)]
pub(super) struct KeyReference {
    pub name: &'static str,
    pub kind: KeyKind,
    pub default: KeyDefault,
    /// empty for values without a unit
    pub unit: &'static str,
    pub meaning: &'static str,
}

#[derive(Clone, Copy)]
pub(super) enum KeyKind {
    String,
    /// source of a secret: `env:NAME`, `file:/path` or `credential:NAME`
    Secret,
    /// an array of sources of secrets, or tables with such a source
    Secrets,
    Boolean,
    Integer {
        min: u64,
        max: u64,
    },
    Choice(&'static [&'static str]),
    Strings,
    /// an array of strings or tables
    Targets,
    /// a decimal amount in quotes, or an integer
    Amount,
    /// a table whose keys are chosen by the operator and whose values are strings
    StringTable,
    /// a table whose keys are chosen by the operator
    Table,
    /// tables with keys chosen by the operator
    Tables,
    /// one of the keywords, or a table
    ChoiceOrTable(&'static [&'static str]),
}

#[derive(Clone, Copy)]
pub(super) enum KeyDefault {
    /// the value as written in TOML
    Toml(&'static str),
    /// derived from other settings or from the machine
    Derived(&'static str),
    Absent,
}

/// A key of a section.
pub(super) const fn key(
    name: &'static str,
    kind: KeyKind,
    default: KeyDefault,
    unit: &'static str,
    meaning: &'static str,
) -> KeyReference {
    KeyReference {
        name,
        kind,
        default,
        unit,
        meaning,
    }
}

pub(super) const fn range(min: u64, max: u64) -> KeyKind {
    KeyKind::Integer { min, max }
}

pub(super) const DAY_S: u64 = 86_400;
