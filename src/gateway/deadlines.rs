//! Deadlines of one attempt: those of `[limits]`, replaced by the route's and shortened, never extended, by the client's.

use std::time::{Duration, Instant};

use crate::config::{Limits, RouteTimeouts};
use crate::gateway::client_timeouts::ClientTimeouts;

#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct Deadlines {
    /// until the head of the response
    pub head_ms: u64,
    /// until the first content of a stream
    pub first_content_ms: Option<u64>,
    /// between two chunks
    pub idle_ms: u64,
    /// of this attempt
    pub call_ms: u64,
    /// end of the client's patience
    pub ends_at: Option<Instant>,
}

impl Deadlines {
    pub fn new(
        limits: &Limits,
        route: RouteTimeouts,
        client: ClientTimeouts,
        arrived: Instant,
    ) -> Deadlines {
        let shortened = |ms: u64| client.read_ms.map_or(ms, |read_ms| ms.min(read_ms));
        let first_content_ms = Some(limits.first_content_timeout_ms).filter(|ms| *ms > 0);
        Deadlines {
            head_ms: shortened(route.head_ms.unwrap_or(limits.head_timeout_ms)),
            first_content_ms: route.first_content_ms.or(first_content_ms),
            idle_ms: shortened(route.idle_ms.unwrap_or(limits.idle_timeout_ms)),
            call_ms: route.call_ms.unwrap_or(limits.call_timeout_ms),
            ends_at: client
                .call_ms
                .and_then(|ms| arrived.checked_add(Duration::from_millis(ms))),
        }
    }

    /// Instant by which the response to a request sent at `sent_at` must be complete.
    pub fn call_deadline(&self, sent_at: Instant) -> Instant {
        let own = sent_at + Duration::from_millis(self.call_ms);
        self.ends_at.map_or(own, |ends_at| own.min(ends_at))
    }

    /// Longest wait for a head from now on.
    pub fn head_wait(&self, now: Instant) -> Duration {
        let own = Duration::from_millis(self.head_ms.min(self.call_ms));
        let left = self
            .ends_at
            .map(|ends_at| ends_at.saturating_duration_since(now));
        // no wait at all would be none in awc
        left.map_or(own, |left| own.min(left))
            .max(Duration::from_millis(1))
    }

    /// Instant by which a stream must have content.
    pub fn content_deadline(&self, sent_at: Instant) -> Option<Instant> {
        Some(sent_at + Duration::from_millis(self.first_content_ms?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_shortens_and_never_extends() {
        let (limits, now) = (Limits::default(), Instant::now());
        let route = RouteTimeouts {
            head_ms: Some(600_000),
            ..RouteTimeouts::default()
        };
        let ask = |read_ms, call_ms| {
            let client = ClientTimeouts { read_ms, call_ms };
            Deadlines::new(&limits, route, client, now)
        };
        assert_eq!(
            (ask(None, None).head_ms, ask(None, None).idle_ms),
            (600_000, 120_000)
        );
        assert_eq!(
            (
                ask(Some(5_000), None).head_ms,
                ask(Some(5_000), None).idle_ms
            ),
            (5_000, 5_000)
        );
        assert_eq!(ask(Some(900_000), None).head_ms, 600_000);
        let call_ms = |call_ms| {
            let deadline = ask(None, call_ms).call_deadline(now);
            deadline.duration_since(now).as_millis()
        };
        assert_eq!(
            (call_ms(Some(7_000)), call_ms(Some(u64::MAX)), call_ms(None)),
            (7_000, 1_800_000, 1_800_000)
        );
    }
}
