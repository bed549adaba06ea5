//! Ceilings that bills have proved too low: a factor per deployment, or the request members that explain the bill. The factor is
//! halved after each 100 calls within their ceiling. In memory; the control plane stores each change and tells the operator.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::config::Provider;
use crate::domain::ceiling::{CeilingFactor, CeilingNotice, DeploymentCeiling};
use crate::domain::id::RequestId;
use crate::domain::money::Money;
use crate::meter::state::TightestBudget;

/// Calls within their ceiling after which the factor is halved.
const CALLS_TO_HALVE: u32 = 100;
/// Deployments that are kept; beyond, the one with the smallest factor goes.
const DEPLOYMENTS_MAX: usize = 1_000;
/// Members that are kept per deployment.
const MEMBERS_MAX: usize = 16;
/// Notices that may wait to be stored; beyond, the oldest goes.
const NOTICES_MAX: usize = 64;

/// A settled call whose cost the vendor reported.
#[derive(Clone, Copy, Debug)]
pub struct ReportedBill<'a> {
    pub provider: &'a str,
    pub model: &'a str,
    pub request: RequestId,
    pub at_ms: u64,
    /// factor by which the ceiling was multiplied
    pub factor: CeilingFactor,
    pub ceiling: Money,
    pub bill: Money,
    /// members that were sent although the gateway does not know them
    pub foreign_members: &'a [String],
    /// the response was complete
    pub is_complete: bool,
}

#[derive(Default)]
struct CeilingState {
    deployments: Vec<DeploymentCeiling>,
    notices: VecDeque<CeilingNotice>,
}

/// Ceilings of all deployments, shared by all requests.
pub struct Ceilings {
    /// false: every factor is 1, and no member explains a bill
    any: AtomicBool,
    state: Mutex<CeilingState>,
    changes: watch::Sender<u64>,
}

impl Ceilings {
    /// Continues with the ceilings that were stored.
    pub fn restore(deployments: Vec<DeploymentCeiling>) -> Ceilings {
        Ceilings {
            any: AtomicBool::new(!deployments.is_empty()),
            state: Mutex::new(CeilingState {
                deployments,
                notices: VecDeque::new(),
            }),
            changes: watch::Sender::new(0),
        }
    }

    /// Forgets deployments of providers that are not configured, and members that no provider takes.
    pub fn retain_configured<'p>(&self, providers: impl Iterator<Item = &'p Provider> + Clone) {
        let mut state = self.lock();
        state.deployments.retain_mut(|deployment| {
            let provider = providers
                .clone()
                .find(|provider| provider.name == deployment.provider);
            let takes = provider.map_or(&[][..], |provider| &provider.takes);
            deployment.members.retain(|member| takes.contains(member));
            provider.is_some() && is_needed(deployment)
        });
        self.note_change(&state);
    }

    /// Factor on the ceilings of a deployment.
    pub fn factor(&self, provider: &str, model: &str) -> CeilingFactor {
        if !self.any.load(Ordering::Relaxed) {
            return CeilingFactor::ONE;
        }
        let state = self.lock();
        let found = find(&state.deployments, provider, model);
        found.map_or(CeilingFactor::ONE, |deployment| deployment.factor)
    }

    /// Members that explain a bill above its ceiling at a deployment.
    pub fn members(&self, provider: &str, model: &str) -> Vec<String> {
        if !self.any.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let state = self.lock();
        let found = find(&state.deployments, provider, model);
        found.map_or_else(Vec::new, |deployment| deployment.members.clone())
    }

    /// Learns from a bill.
    pub fn note(&self, bill: &ReportedBill<'_>) {
        if bill.bill > bill.ceiling {
            self.note_over(bill);
        } else if bill.is_complete && self.any.load(Ordering::Relaxed) {
            self.note_within(bill);
        }
    }

    fn note_over(&self, bill: &ReportedBill<'_>) {
        let mut state = self.lock();
        let deployment = entry(&mut state.deployments, bill.provider, bill.model);
        let before = (deployment.factor, deployment.members.len());
        deployment.within = 0;
        for member in bill.foreign_members {
            if deployment.members.len() < MEMBERS_MAX && !deployment.members.contains(member) {
                deployment.members.push(member.clone());
            }
        }
        if bill.foreign_members.is_empty() {
            let covering = bill.factor.covering(bill.ceiling, bill.bill);
            deployment.factor = deployment.factor.max(covering);
        }
        let factor = deployment.factor;
        if (factor, deployment.members.len()) == before {
            return;
        }
        if state.notices.len() >= NOTICES_MAX {
            state.notices.pop_front();
        }
        state.notices.push_back(CeilingNotice {
            provider: bill.provider.to_owned(),
            model: bill.model.to_owned(),
            request: bill.request,
            at_ms: bill.at_ms,
            ceiling: bill.ceiling,
            bill: bill.bill,
            factor,
            members: bill.foreign_members.to_vec(),
        });
        self.note_change(&state);
    }

    fn note_within(&self, bill: &ReportedBill<'_>) {
        let mut state = self.lock();
        let mut deployments = state.deployments.iter_mut();
        let Some(deployment) = deployments.find(|deployment| {
            is_of(deployment, bill.provider, bill.model) && deployment.factor > CeilingFactor::ONE
        }) else {
            return;
        };
        deployment.within += 1;
        if deployment.within >= CALLS_TO_HALVE {
            deployment.within = 0;
            deployment.factor = deployment.factor.halved();
            state.deployments.retain(is_needed);
            self.note_change(&state);
        }
    }

    /// Everything that is to be stored.
    pub fn deployments(&self) -> Vec<DeploymentCeiling> {
        self.lock().deployments.clone()
    }

    /// Takes the notices that wait to be stored.
    pub fn take_notices(&self) -> Vec<CeilingNotice> {
        self.lock().notices.drain(..).collect()
    }

    /// Returns notices that could not be stored.
    pub fn put_back(&self, notices: Vec<CeilingNotice>) {
        let mut state = self.lock();
        for notice in notices.into_iter().rev() {
            state.notices.push_front(notice);
        }
        state.notices.truncate(NOTICES_MAX);
    }

    /// Tells of every change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn note_change(&self, state: &CeilingState) {
        self.any
            .store(!state.deployments.is_empty(), Ordering::Relaxed);
        self.changes.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, CeilingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TightestBudget {
    /// The part of the budget that ceilings may use before they are multiplied.
    #[must_use]
    pub fn fitting(self, factor: CeilingFactor) -> TightestBudget {
        TightestBudget {
            now: factor.fitting(self.now),
            without_holds: factor.fitting(self.without_holds),
        }
    }
}

fn is_of(deployment: &DeploymentCeiling, provider: &str, model: &str) -> bool {
    deployment.provider == provider && deployment.model == model
}

fn is_needed(deployment: &DeploymentCeiling) -> bool {
    deployment.factor > CeilingFactor::ONE || !deployment.members.is_empty()
}

fn find<'d>(
    deployments: &'d [DeploymentCeiling],
    provider: &str,
    model: &str,
) -> Option<&'d DeploymentCeiling> {
    let mut found = deployments.iter();
    found.find(|deployment| is_of(deployment, provider, model))
}

/// The entry of a deployment, made if there is none.
fn entry<'d>(
    deployments: &'d mut Vec<DeploymentCeiling>,
    provider: &str,
    model: &str,
) -> &'d mut DeploymentCeiling {
    let known = deployments.iter();
    let at = known
        .clone()
        .position(|deployment| is_of(deployment, provider, model));
    let at = at.unwrap_or_else(|| {
        if deployments.len() >= DEPLOYMENTS_MAX {
            let smallest = (0..deployments.len()).min_by_key(|at| deployments[*at].factor);
            deployments.swap_remove(smallest.unwrap_or(0));
        }
        deployments.push(DeploymentCeiling {
            provider: provider.to_owned(),
            model: model.to_owned(),
            factor: CeilingFactor::ONE,
            within: 0,
            members: Vec::new(),
        });
        deployments.len() - 1
    });
    &mut deployments[at]
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: ReportedBill<'_> = ReportedBill {
        provider: "up",
        model: "m",
        request: RequestId(1),
        at_ms: 5,
        factor: CeilingFactor::ONE,
        ceiling: Money::from_pico(200),
        bill: Money::from_pico(500),
        foreign_members: &[],
        is_complete: true,
    };

    fn thousandths(ceilings: &Ceilings) -> u64 {
        ceilings.factor("up", "m").thousandths()
    }

    #[test]
    fn ceilings_are_multiplied_after_a_higher_bill_and_halved_after_each_100_calls_within() {
        let ceilings = Ceilings::restore(Vec::new());
        ceilings.note(&ReportedBill {
            bill: CALL.ceiling,
            ..CALL
        });
        assert_eq!(
            (thousandths(&ceilings), ceilings.deployments()),
            (1_000, vec![])
        );
        ceilings.note(&CALL);
        // a call that was admitted at the same time tells nothing new
        ceilings.note(&CALL);
        assert_eq!(thousandths(&ceilings), 2_500);
        assert_eq!(ceilings.factor("up", "other"), CeilingFactor::ONE);
        assert_eq!(ceilings.take_notices().len(), 1);
        let within = ReportedBill {
            bill: CALL.ceiling,
            ..CALL
        };
        let mut factors = Vec::new();
        for _ in 0..3 {
            (0..99).for_each(|_| ceilings.note(&within));
            ceilings.note(&ReportedBill {
                is_complete: false,
                ..within
            });
            factors.push(thousandths(&ceilings));
            ceilings.note(&within);
        }
        assert_eq!(factors, [2_500, 1_250, 1_000]);
        assert!(ceilings.deployments().is_empty() && !ceilings.any.load(Ordering::Relaxed));
    }

    #[test]
    fn members_that_explain_a_bill_leave_the_factor_alone() {
        let ceilings = Ceilings::restore(Vec::new());
        let members = ["slot_id".to_owned()];
        let call = ReportedBill {
            foreign_members: &members,
            ..CALL
        };
        ceilings.note(&call);
        ceilings.note(&call);
        assert_eq!(thousandths(&ceilings), 1_000);
        assert_eq!(ceilings.members("up", "m"), members);
        let notices = ceilings.take_notices();
        assert_eq!((notices.len(), &notices[0].members[..]), (1, &members[..]));
    }

    #[test]
    fn deployments_are_bounded_and_the_smallest_factor_goes_first() {
        let ceilings = Ceilings::restore(Vec::new());
        for number in 0..=DEPLOYMENTS_MAX {
            let (model, bill) = (
                number.to_string(),
                Money::from_pico(401 + number as i128 % 900),
            );
            ceilings.note(&ReportedBill {
                model: &model,
                bill,
                ..CALL
            });
        }
        assert_eq!(ceilings.deployments().len(), DEPLOYMENTS_MAX);
        assert_eq!(
            ceilings.factor("up", "0"),
            CeilingFactor::ONE,
            "it had the smallest"
        );
        assert!(ceilings.take_notices().len() <= NOTICES_MAX);
    }
}
