//! Subjects of the requests that are open at a place of the log. A settlement repeats the subject of its hold; as long as the records
//! of a replay are in memory, both share one.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::event::{HoldId, LedgerEvent, Subject};

/// Subjects of holds that are not settled or released yet.
#[derive(Default)]
pub(super) struct OpenSubjects {
    by_hold: HashMap<HoldId, Arc<Subject>>,
}

impl OpenSubjects {
    /// Notes the subject of a hold, and gives a settlement the equal one of its hold. Events come in the order of the log.
    pub(super) fn share(&mut self, event: &mut LedgerEvent) {
        match event {
            LedgerEvent::Hold(hold) => {
                self.by_hold.insert(hold.id, hold.subject.clone());
            }
            LedgerEvent::Release { id, .. } => {
                self.by_hold.remove(id);
            }
            LedgerEvent::Settle(settlement) => {
                let of_hold = self.by_hold.remove(&settlement.hold.id);
                let equal = of_hold.filter(|subject| *subject == settlement.hold.subject);
                if let Some(subject) = equal {
                    settlement.hold.subject = subject;
                }
            }
            LedgerEvent::Progress { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::codec::tests::{sample_hold, sample_settlement};

    /// Events as a recovery decodes them: each with a subject of its own.
    fn hold_and_settlement() -> [LedgerEvent; 2] {
        let mut settlement = sample_settlement(1);
        settlement.hold = sample_hold(1);
        [
            LedgerEvent::Hold(sample_hold(1)),
            LedgerEvent::Settle(settlement),
        ]
    }

    fn subject(event: &LedgerEvent) -> &Arc<Subject> {
        match event {
            LedgerEvent::Hold(hold) => &hold.subject,
            LedgerEvent::Settle(settlement) => &settlement.hold.subject,
            _ => panic!("an event without a subject"),
        }
    }

    #[test]
    fn settlement_shares_the_equal_subject_of_its_hold() {
        let mut subjects = OpenSubjects::default();
        let mut events = hold_and_settlement();
        events.iter_mut().for_each(|event| subjects.share(event));
        assert!(Arc::ptr_eq(subject(&events[0]), subject(&events[1])));
        assert!(subjects.by_hold.is_empty(), "a settled hold is not kept");
    }

    #[test]
    fn settlement_with_another_subject_keeps_it() {
        let mut subjects = OpenSubjects::default();
        let mut events = hold_and_settlement();
        if let LedgerEvent::Settle(settlement) = &mut events[1] {
            Arc::make_mut(&mut settlement.hold.subject).model = "another".into();
        }
        events.iter_mut().for_each(|event| subjects.share(event));
        assert_eq!(*subject(&events[1]).model, *"another");
    }
}
