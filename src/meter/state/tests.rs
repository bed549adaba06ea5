//! Tests of the ledger state: holds, settlements, corrections, windows and set-backs.

use super::*;
use crate::domain::budget::{Owner, Period};
use crate::domain::event::{Flags, Progress, Settlement, Status};
use crate::domain::id::{KeyId, OrganizationId, RequestId, TeamId};
use crate::domain::pattern::Pattern;
use crate::domain::usage::Usage;

fn budget(id: u64, limit: i128, period: Period, action: Action, model: Option<&str>) -> Budget {
    Budget {
        id: BudgetId(id),
        owner: Owner::Team(TeamId(1)),
        limit: Money::from_pico(limit),
        period,
        action,
        model: model.map(Pattern::new),
    }
}

fn hold(number: u128, ceiling: i128) -> Hold {
    Hold {
        id: HoldId {
            request: RequestId(number),
            attempt: 1,
        },
        at_ms: 0,
        subject: std::sync::Arc::new(Subject {
            organization: OrganizationId(1),
            team: TeamId(1),
            key: KeyId(1),
            model_asked: "m".into(),
            provider: "p".into(),
            model: "m-1".into(),
            dialect: "chat".into(),
            streamed: false,
            attribution: Default::default(),
            second_models: Vec::new(),
        }),
        ceiling: Money::from_pico(ceiling),
        charges: Vec::new(),
        progress: Progress::default(),
    }
}

fn take(
    state: &mut LedgerState,
    ids: &[u64],
    number: u128,
    ceiling: i128,
) -> Result<(), HoldDenial> {
    let ids: Vec<BudgetId> = ids.iter().map(|id| BudgetId(*id)).collect();
    let mut hold = hold(number, ceiling);
    let room = state.check_room(&ids, &hold, 1)?;
    hold.charges = room;
    state.apply(&LedgerEvent::Hold(hold));
    Ok(())
}

fn settle(state: &mut LedgerState, number: u128, cost: i128) -> Vec<BudgetId> {
    let hold = state
        .hold(HoldId {
            request: RequestId(number),
            attempt: 1,
        })
        .cloned()
        .unwrap_or_else(|| hold(number, 0));
    let ending = CallResult {
        ended_ms: 2,
        status: Status::Ok,
        flags: Flags::default(),
        usage: Usage::default(),
        cost: Money::from_pico(cost),
        lines: Vec::new(),
        output_cap: None,
        upstream_status: 200,
        first_content_ms: None,
        note: None,
        cache: None,
    };
    state.apply(&LedgerEvent::Settle(Settlement { hold, ending }))
}

#[test]
fn hold_is_taken_at_every_level_or_none() {
    let mut state = LedgerState::new(Zone::utc());
    state.set_budget(budget(1, 100, Period::Total, Action::Block, None), 0);
    state.set_budget(budget(2, 10, Period::Total, Action::Block, None), 0);
    assert!(
        matches!(take(&mut state, &[1, 2], 1, 11), Err(HoldDenial::Exceeded { budget, .. }) if budget.id == BudgetId(2))
    );
    assert_eq!(state.held_total(), Money::ZERO);
    take(&mut state, &[1, 2], 1, 10).expect("fits exactly");
    assert!(matches!(
        take(&mut state, &[1, 2], 2, 1),
        Err(HoldDenial::Held { .. })
    ));
    assert_eq!(settle(&mut state, 1, 4), [BudgetId(1), BudgetId(2)]);
    take(&mut state, &[1, 2], 2, 6).expect("the unused part is available again");
}

#[test]
fn second_settlement_has_no_effect() {
    let mut state = LedgerState::new(Zone::utc());
    state.set_budget(budget(1, 100, Period::Total, Action::Block, None), 0);
    take(&mut state, &[1], 1, 50).expect("fits");
    settle(&mut state, 1, 30);
    assert!(settle(&mut state, 1, 30).is_empty());
    let status = state.budget_status(BudgetId(1), 1).expect("known");
    assert_eq!((status.settled.pico(), status.held.pico()), (30, 0));
}

#[test]
fn correction_raises_the_remainder_of_the_charged_window() {
    let mut state = LedgerState::new(Zone::utc());
    state.set_budget(budget(1, 100, Period::Total, Action::Block, None), 0);
    take(&mut state, &[1], 1, 100).expect("fits");
    settle(&mut state, 1, 100);
    let charged = [
        Charge {
            budget: BudgetId(1),
            window_start_ms: 0,
        },
        Charge {
            budget: BudgetId(2),
            window_start_ms: 0,
        },
    ];
    state.correct(&charged, Money::from_pico(-70));
    assert_eq!(
        state
            .budget_status(BudgetId(1), 1)
            .expect("known")
            .remaining(),
        Money::from_pico(70)
    );
    assert!(
        !state.balances.contains_key(&charged[1]),
        "no window is created"
    );
}

#[test]
fn warn_budget_over_limit_counts_and_admits() {
    let mut state = LedgerState::new(Zone::utc());
    state.set_budget(budget(1, 5, Period::Total, Action::Warn, None), 0);
    let hold = hold(1, 10);
    let room = state
        .check_room(&[BudgetId(1)], &hold, 0)
        .expect("a warn budget admits");
    assert_eq!(room.len(), 1);
    let hold = Hold {
        charges: room,
        ..hold
    };
    assert!(
        state.over_warning(&hold, Money::from_pico(6))
            && !state.over_warning(&hold, Money::from_pico(5))
    );
}

#[test]
fn budget_for_other_models_is_not_charged() {
    let mut state = LedgerState::new(Zone::utc());
    state.set_budget(budget(1, 5, Period::Total, Action::Block, Some("gpt-*")), 0);
    state.set_budget(budget(2, 50, Period::Total, Action::Block, Some("m-*")), 0);
    let room = state
        .check_room(&[BudgetId(1), BudgetId(2)], &hold(1, 10), 0)
        .expect("only the second budget counts it");
    assert_eq!(
        room,
        [Charge {
            budget: BudgetId(2),
            window_start_ms: 0
        }]
    );
}

#[test]
fn new_window_starts_at_zero_and_earlier_time_reopens_no_window() {
    const DAY: u64 = 86_400_000;
    let mut state = LedgerState::new(Zone::utc());
    state.set_budget(budget(1, 10, Period::Daily, Action::Block, None), DAY);
    take(&mut state, &[1], 1, 10).expect("fits");
    settle(&mut state, 1, 10);
    assert_eq!(
        state
            .budget_status(BudgetId(1), DAY + 5)
            .expect("known")
            .remaining(),
        Money::ZERO
    );
    assert_eq!(
        state
            .budget_status(BudgetId(1), DAY - 5)
            .expect("known")
            .remaining(),
        Money::ZERO
    );
    assert_eq!(
        state
            .budget_status(BudgetId(1), 2 * DAY)
            .expect("known")
            .remaining(),
        Money::from_pico(10)
    );
    assert_eq!(
        state
            .budget_status(BudgetId(1), DAY + 5)
            .expect("known")
            .remaining(),
        Money::from_pico(10)
    );
}

#[test]
fn budget_update_at_earlier_time_reopens_no_past_window() {
    const DAY: u64 = 86_400_000;
    let mut state = LedgerState::new(Zone::utc());
    state.set_budget(budget(1, 10, Period::Daily, Action::Block, None), DAY - 1);
    assert_eq!(
        state
            .budget_status(BudgetId(1), DAY)
            .expect("known")
            .remaining(),
        Money::from_pico(10)
    );
    take(&mut state, &[1], 1, 10).expect("fits");
    settle(&mut state, 1, 10);
    state.set_budget(
        budget(1, 11, Period::Daily, Action::Block, None),
        DAY - 3_000,
    );
    assert_eq!(
        state
            .budget_status(BudgetId(1), DAY - 2_999)
            .expect("known")
            .remaining(),
        Money::from_pico(1)
    );
    state.set_budget(budget(1, 11, Period::Daily, Action::Block, None), 2 * DAY);
    assert_eq!(
        state
            .budget_status(BudgetId(1), 2 * DAY)
            .expect("known")
            .remaining(),
        Money::from_pico(11)
    );
}

#[test]
fn cost_above_ceiling_is_charged_in_full_and_blocks() {
    let mut state = LedgerState::new(Zone::utc());
    state.set_budget(budget(1, 10, Period::Total, Action::Block, None), 0);
    take(&mut state, &[1], 1, 5).expect("fits");
    settle(&mut state, 1, 20);
    assert!(matches!(
        take(&mut state, &[1], 2, 0),
        Err(HoldDenial::Exceeded { .. })
    ));
}
