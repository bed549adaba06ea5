//! Notes of attempts as rows. Rows are positional: the order of the fields, and the positions in `FailureClass::ALL` and
//! `Decision::ALL`, are stored.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::domain::attempt::{AttemptNote, Decision, FailureClass, FailureNote};
use crate::store::codec::hold::Absent;

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct NoteRow<'a, F = FailureRow<'a>> {
    route: Cow<'a, str>,
    chosen: Cow<'a, str>,
    wait_ms: u64,
    failure: Option<F>,
}

/// Note of version 4.
pub(in crate::store) type NoteRowV4<'a> = NoteRow<'a, FailureRowV4<'a>>;

/// Failure of version 4.
#[derive(Serialize, Deserialize)]
pub(in crate::store) struct FailureRowV4<'a> {
    class: u8,
    vendor_code: Cow<'a, str>,
    decision: u8,
    why: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct FailureRow<'a> {
    class: u8,
    vendor_code: Cow<'a, str>,
    decision: u8,
    why: Cow<'a, str>,
    /// since version 5
    detail: Cow<'a, str>,
}

impl<'a> From<FailureRowV4<'a>> for FailureRow<'a> {
    fn from(row: FailureRowV4<'a>) -> FailureRow<'a> {
        FailureRow {
            class: row.class,
            vendor_code: row.vendor_code,
            decision: row.decision,
            why: row.why,
            detail: Cow::Borrowed(""),
        }
    }
}

pub(super) fn note_row(note: &AttemptNote) -> NoteRow<'_> {
    NoteRow {
        route: Cow::Borrowed(&note.route),
        chosen: Cow::Borrowed(&note.chosen),
        wait_ms: note.wait_ms,
        failure: note.failure.as_ref().map(|failure| FailureRow {
            class: failure.class as u8,
            vendor_code: Cow::Borrowed(&failure.vendor_code),
            decision: failure.decision as u8,
            why: Cow::Borrowed(&failure.why),
            detail: Cow::Borrowed(&failure.detail),
        }),
    }
}

/// Version of the note; earlier ones have none.
pub(in crate::store) trait NoteVersion {
    fn note(self) -> Result<Option<AttemptNote>, String>;
}

impl NoteVersion for Absent {
    fn note(self) -> Result<Option<AttemptNote>, String> {
        Ok(None)
    }
}

impl<'a, F: Into<FailureRow<'a>>> NoteVersion for Option<NoteRow<'a, F>> {
    fn note(self) -> Result<Option<AttemptNote>, String> {
        self.map(note_of).transpose()
    }
}

fn note_of<'a, F: Into<FailureRow<'a>>>(row: NoteRow<'a, F>) -> Result<AttemptNote, String> {
    let failure = row.failure.map(|failure| {
        let failure: FailureRow<'_> = failure.into();
        let class = FailureClass::ALL.get(usize::from(failure.class));
        let decision = Decision::ALL.get(usize::from(failure.decision));
        Ok::<_, String>(FailureNote {
            class: *class.ok_or_else(|| format!("unknown failure class {}", failure.class))?,
            vendor_code: failure.vendor_code.into_owned(),
            decision: *decision.ok_or_else(|| format!("unknown decision {}", failure.decision))?,
            why: failure.why.into_owned(),
            detail: failure.detail.into_owned(),
        })
    });
    Ok(AttemptNote {
        route: row.route.into_owned(),
        chosen: row.chosen.into_owned(),
        wait_ms: row.wait_ms,
        failure: failure.transpose()?,
    })
}
