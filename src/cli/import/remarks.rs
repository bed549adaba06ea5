//! Remarks of an import: what could not be translated, with its line. Values may be secrets: no remark repeats one.

use super::yaml::Node;

/// Something that could not be translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remark {
    pub line: usize,
    pub text: String,
}

/// Remarks in the order of the file.
#[derive(Debug, Default)]
pub(super) struct Remarks(pub Vec<Remark>);

impl Remarks {
    pub fn add(&mut self, node: &Node, text: impl Into<String>) {
        let (line, text) = (node.line, text.into());
        self.0.push(Remark { line, text });
    }
}
