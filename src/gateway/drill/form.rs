//! Forms of a drill's requests.

/// What the client of a drill asks for, and how its answer breaks.
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
