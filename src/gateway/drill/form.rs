//! Forms of a drill's requests.

/// Form of the answer that a drill asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrillForm {
    Whole,
    Stream,
    /// a stream whose failing targets break off after the first content
    CutStream,
}

impl DrillForm {
    pub fn as_str(self) -> &'static str {
        match self {
            DrillForm::Whole => "whole",
            DrillForm::Stream => "stream",
            DrillForm::CutStream => "cut_stream",
        }
    }

    pub fn is_stream(self) -> bool {
        self != DrillForm::Whole
    }
}
