//! State of sign-in in memory: live sessions, throttle, and the bounds of the work on passwords.

use tokio::sync::Semaphore;

use crate::auth::session::SessionTable;
use crate::auth::throttle::Throttle;
use crate::domain::sign_in::Session;

/// Passwords computed at once; each takes a core for some 15 ms and 19 MiB.
const HASHES_AT_ONCE: usize = 2;
/// Attempts that wait for the pool or their delay; beyond it sign-in is overloaded.
const ATTEMPTS_MAX: usize = 64;

/// State of sign-in, shared by all workers.
#[derive(Debug)]
pub(super) struct SignInState {
    pub sessions: SessionTable,
    pub throttle: Throttle,
    /// one permit per password that is computed
    pub hashes: Semaphore,
    /// one permit per attempt
    pub attempts: Semaphore,
}

impl SignInState {
    pub fn new(sessions: Vec<Session>) -> SignInState {
        SignInState {
            sessions: SessionTable::new(sessions),
            throttle: Throttle::default(),
            hashes: Semaphore::new(HASHES_AT_ONCE),
            attempts: Semaphore::new(ATTEMPTS_MAX),
        }
    }
}
