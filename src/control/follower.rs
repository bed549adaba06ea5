//! Followers of the request log and the audit log: clients that wait for the next entry. Their number is bounded, and shutdown answers
//! all of them. A follower occupies no thread.

use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::control::plane::{Control, FOLLOWERS_MAX};
use crate::domain::api_error::{ApiError, ErrorCode};

/// A client that may wait until its deadline.
pub(super) struct Follower {
    pub deadline: Instant,
    /// `None`: it does not wait
    permit: Option<OwnedSemaphorePermit>,
    control: Control,
}

impl Follower {
    /// True if the client is to be answered with what there is.
    pub fn is_over(&self) -> bool {
        self.permit.is_none()
            || Instant::now() >= self.deadline
            || self.control.follower_permits.is_closed()
    }
}

impl Control {
    /// Admits a client that waits for at most so long; without a wait always.
    pub(super) fn follower(&self, wait_s: u64) -> Result<Follower, ApiError> {
        let permits = self.follower_permits.clone();
        let permit = match wait_s {
            0 => None,
            _ => Some(
                permits
                    .try_acquire_owned()
                    .map_err(|_| too_many_followers())?,
            ),
        };
        Ok(Follower {
            deadline: Instant::now() + Duration::from_secs(wait_s),
            permit,
            control: self.clone(),
        })
    }

    /// Shutdown: answers all waiting followers and admits no more.
    pub fn close_followers(&self) {
        self.follower_permits.close();
        self.store.wake_followers();
    }

    /// Followers that wait for an entry.
    pub fn followers(&self) -> usize {
        FOLLOWERS_MAX.saturating_sub(self.follower_permits.available_permits())
    }
}

fn too_many_followers() -> ApiError {
    let message = format!("limit of {FOLLOWERS_MAX} waiting followers reached; ask without `wait`");
    ApiError::new(ErrorCode::Overloaded, message).with_retry_after(5)
}
