//! State that the calls of one name share: the turns among its deployments, and the budget of extra attempts. A deployment's place in a
//! turn is that of its target, times the most API keys that any provider has, plus the number of its key.

use crate::route::retry::RetryBudget;
use crate::route::weighted::WeightedTurn;

/// Parts into which the weight of a target is divided among several API keys: divisible by most small sums.
pub(super) const SHARE_PARTS: u64 = 720_720;

#[derive(Debug)]
pub(super) struct Turns {
    pub first: WeightedTurn,
    /// apart, so that failures do not shift the shares of first attempts
    pub later: WeightedTurn,
    pub retries: RetryBudget,
}

impl Turns {
    pub fn new(deployments: usize) -> Turns {
        Turns {
            first: WeightedTurn::new(deployments),
            later: WeightedTurn::new(deployments),
            retries: RetryBudget::default(),
        }
    }
}
