//! Deadlines of one attempt: those of `[limits]`, replaced by those of the provider, the route and its target, and shortened, never extended, by the client's.

use std::time::{Duration, Instant};

use crate::config::{CallTimeouts, Limits};
use crate::gateway::client_timeouts::ClientTimeouts;

#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct Deadlines {
    /// until the connection is made; `None`: that of all connections
    connect_ms: Option<u64>,
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

/// Timeouts of a request on its way.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct SendTimeouts {
    pub connect_ms: Option<u64>,
    /// until the head of the response
    pub head: Duration,
}

impl Deadlines {
    /// `configured` are the timeouts of the target, its route and its provider.
    pub fn new(
        limits: &Limits,
        configured: CallTimeouts,
        client: ClientTimeouts,
        arrived: Instant,
    ) -> Deadlines {
        let route = configured;
        let head_ms = route.head_ms.unwrap_or(limits.head_timeout_ms);
        // a host that cannot be reached must not look like one that has the request
        let before_head_ms = head_ms - head_ms / 20;
        let connect_ms = route.connect_ms.unwrap_or(limits.connect_timeout_ms);
        let connect_ms = connect_ms.min(before_head_ms);
        let shortened = |ms: u64| client.read_ms.map_or(ms, |read_ms| ms.min(read_ms));
        let first_content_ms = Some(limits.first_content_timeout_ms).filter(|ms| *ms > 0);
        Deadlines {
            connect_ms: (connect_ms != limits.connect_timeout_ms).then_some(connect_ms),
            head_ms: shortened(head_ms),
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

    /// Timeouts of a request that is sent now.
    pub fn sending(&self, now: Instant) -> SendTimeouts {
        SendTimeouts {
            connect_ms: self.connect_ms,
            head: self.head_wait(now),
        }
    }

    /// Longest wait for a head from now on.
    fn head_wait(&self, now: Instant) -> Duration {
        let own = Duration::from_millis(self.head_ms.min(self.call_ms));
        let left = self
            .ends_at
            .map(|ends_at| ends_at.saturating_duration_since(now));
        // a message about a wait of 0 ms would read as one without a timeout
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
    fn connection_is_given_up_before_the_head_is_overdue() {
        let connect_ms = |connect_ms, head_ms| {
            let configured = CallTimeouts {
                connect_ms,
                head_ms,
                ..CallTimeouts::default()
            };
            let client = ClientTimeouts::default();
            let deadlines = Deadlines::new(&Limits::default(), configured, client, Instant::now());
            deadlines.connect_ms
        };
        assert_eq!(connect_ms(None, None), None);
        assert_eq!(connect_ms(Some(2_000), None), Some(2_000));
        assert_eq!(connect_ms(Some(30_000), Some(1_000)), Some(950));
    }

    #[test]
    fn client_shortens_and_never_extends() {
        let (limits, now) = (Limits::default(), Instant::now());
        let route = CallTimeouts {
            head_ms: Some(600_000),
            ..CallTimeouts::default()
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
        assert_eq!(ask(Some(5_000), None).connect_ms, None);
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
