//! What becomes of a call whose client goes away. Where the provider is told to drain, the answer is read to its end for the
//! usage that is reported there: so many calls at once and for so long, and beyond that they are let go like all others.
//! Nothing that is read here reaches anybody.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use crate::domain::api_error::ApiError;
use crate::gateway::defect;
use crate::gateway::exchange::send::AdmittedAttempt;
use crate::gateway::inflight::InflightGuard;
use crate::gateway::reply::Reply;
use crate::provider::OnDisconnect;
use crate::upstream::Client;

const AT_ONCE_MAX: usize = 64;
const LONGEST: Duration = Duration::from_secs(60);

/// Places for calls without a client.
pub(crate) struct DrainSlots {
    places: Semaphore,
    places_max: usize,
    longest: Duration,
}

impl Default for DrainSlots {
    fn default() -> DrainSlots {
        DrainSlots::within(AT_ONCE_MAX, LONGEST)
    }
}

impl DrainSlots {
    fn within(places_max: usize, longest: Duration) -> DrainSlots {
        DrainSlots {
            places: Semaphore::new(places_max),
            places_max,
            longest,
        }
    }

    pub(crate) fn running(&self) -> usize {
        self.places_max
            .saturating_sub(self.places.available_permits())
    }

    /// Lets the rest of a call run on, where there is a place for it, and no longer than one may; it is dropped then.
    pub(crate) async fn run(&self, rest: impl Future) {
        if let Ok(_place) = self.places.try_acquire() {
            let _outlasted = tokio::time::timeout(self.longest, rest).await;
        }
    }
}

/// Whether a call still has a client; told by whoever waits for its answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct DisconnectFlag(Arc<AtomicBool>);

impl DisconnectFlag {
    pub(crate) fn client_has_gone(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn ends(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Makes a call whose worst case is held. The listener drops this when the client goes away before the head of the answer;
/// a call that is to be drained runs in a task of its own, so that it lives on.
pub(crate) async fn call(
    held: AdmittedAttempt,
    client: &Client,
    headers: Vec<(String, String)>,
    running: InflightGuard,
) -> Result<Reply, ApiError> {
    if held.on_disconnect() == OnDisconnect::Abort {
        return held.call(client, &headers, running).await;
    }
    let (client, gateway, presence) = (client.clone(), held.gateway(), held.presence());
    let (mut answer, answered) = oneshot::channel();
    tokio::task::spawn_local(async move {
        let mut call = pin!(held.call(&client, &headers, running));
        tokio::select! {
            biased;
            // an answer that nobody waits for is dropped, and with it a stream learns that it has no client
            reply = &mut call => return drop(answer.send(reply)),
            () = answer.closed() => presence.ends(),
        }
        gateway.drains.run(call).await;
    });
    answered
        .await
        .unwrap_or_else(|_| Err(defect("a call broke off")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_drain_has_a_place_and_an_end() {
        let drains = DrainSlots::within(1, Duration::from_millis(50));
        let ran = AtomicBool::new(false);
        let first = drains.run(async {
            assert_eq!(drains.running(), 1);
            drains
                .run(async { ran.store(true, Ordering::Relaxed) })
                .await;
            std::future::pending::<()>().await;
        });
        tokio::time::timeout(Duration::from_secs(10), first)
            .await
            .expect("what never ends is ended");
        assert!(!ran.load(Ordering::Relaxed), "there was no second place");
        drains
            .run(async { ran.store(true, Ordering::Relaxed) })
            .await;
        assert!(ran.load(Ordering::Relaxed), "the place came free");
        assert_eq!(drains.running(), 0);
    }
}
