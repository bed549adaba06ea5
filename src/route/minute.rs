//! Calls and tokens of one deployment within the last minute, against its bounds: a window of 60 slots that slides by the second. Time
//! is passed in. A call in flight counts by its estimated input, an ended one by its usage.

use crate::domain::provider_key::DeploymentLimits;

const SLOT_MS: u64 = 1_000;
const SLOTS: u64 = 60;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    requests: u64,
    tokens: u64,
}

/// A call that counts in the window.
#[derive(Clone, Copy, Debug)]
pub(super) struct CountedCall {
    slot: u64,
    tokens: u64,
}

#[derive(Debug)]
pub(super) struct MinuteWindow {
    limits: DeploymentLimits,
    slots: [Slot; SLOTS as usize],
    /// number of the newest slot
    newest: u64,
    /// sums of the slots
    requests: u64,
    tokens: u64,
    /// tokens of the calls in flight
    reserved: u64,
}

impl MinuteWindow {
    pub fn new(limits: DeploymentLimits) -> MinuteWindow {
        MinuteWindow {
            limits,
            slots: [Slot::default(); SLOTS as usize],
            newest: 0,
            requests: 0,
            tokens: 0,
            reserved: 0,
        }
    }

    pub fn limits(&self) -> DeploymentLimits {
        self.limits
    }

    pub fn tighten(&mut self, limits: DeploymentLimits) {
        self.limits = self.limits.tightened(limits);
    }

    /// Requests and tokens of the last minute, calls in flight included.
    pub fn usage(&mut self, now_ms: u64) -> (u64, u64) {
        self.advance(now_ms);
        (self.requests, self.tokens + self.reserved)
    }

    /// Returns `true` if a call of so many tokens fits. A call larger than the bound fits an empty minute.
    pub fn has_room(&mut self, now_ms: u64, tokens: u64) -> bool {
        let (requests, used) = self.usage(now_ms);
        self.limits.rpm.is_none_or(|rpm| requests < rpm)
            && self
                .limits
                .tpm
                .is_none_or(|tpm| used == 0 || used.saturating_add(tokens) <= tpm)
    }

    /// Counts a call; `None` if it does not fit.
    pub fn take(&mut self, now_ms: u64, tokens: u64) -> Option<CountedCall> {
        if !self.has_room(now_ms, tokens) {
            return None;
        }
        self.requests += 1;
        self.reserved += tokens;
        self.slots[(self.newest % SLOTS) as usize].requests += 1;
        Some(CountedCall {
            slot: self.newest,
            tokens,
        })
    }

    /// The call ended with this usage; `None` if it was never sent, so that it does not count.
    pub fn end(&mut self, call: CountedCall, used: Option<u64>) {
        self.reserved = self.reserved.saturating_sub(call.tokens);
        match used {
            Some(tokens) => {
                self.tokens += tokens;
                self.slots[(self.newest % SLOTS) as usize].tokens += tokens;
            }
            None if self.newest < call.slot + SLOTS => {
                self.requests -= 1;
                self.slots[(call.slot % SLOTS) as usize].requests -= 1;
            }
            None => {}
        }
    }

    /// Time until a call of so many tokens fits, as far as ended calls decide.
    pub fn wait_ms(&mut self, now_ms: u64, tokens: u64) -> u64 {
        if self.has_room(now_ms, tokens) {
            return 0;
        }
        let (mut requests, mut used) = (self.requests, self.tokens + self.reserved);
        for age in (0..SLOTS).rev() {
            let Some(number) = self.newest.checked_sub(age) else {
                continue;
            };
            let slot = self.slots[(number % SLOTS) as usize];
            requests -= slot.requests;
            used -= slot.tokens;
            let fits = self.limits.rpm.is_none_or(|rpm| requests < rpm)
                && self
                    .limits
                    .tpm
                    .is_none_or(|tpm| used == 0 || used.saturating_add(tokens) <= tpm);
            if fits {
                let leaves_ms = (number + SLOTS) * SLOT_MS;
                return leaves_ms.saturating_sub(now_ms);
            }
        }
        SLOTS * SLOT_MS
    }

    fn advance(&mut self, now_ms: u64) {
        let number = now_ms / SLOT_MS;
        if number >= self.newest + SLOTS {
            self.slots = [Slot::default(); SLOTS as usize];
            (self.requests, self.tokens, self.newest) = (0, 0, number);
        }
        while self.newest < number {
            self.newest += 1;
            let slot = std::mem::take(&mut self.slots[(self.newest % SLOTS) as usize]);
            self.requests -= slot.requests;
            self.tokens -= slot.tokens;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(rpm: Option<u64>, tpm: Option<u64>) -> MinuteWindow {
        MinuteWindow::new(DeploymentLimits { rpm, tpm })
    }

    #[test]
    fn minute_window_takes_no_more_requests_than_its_bound_in_any_minute() {
        let mut window = window(Some(3), None);
        let taken: Vec<u64> = (0..200)
            .filter(|second| window.take(second * 1_000 + 7, 0).is_some())
            .collect();
        assert_eq!(taken, [0, 1, 2, 60, 61, 62, 120, 121, 122, 180, 181, 182]);
        assert_eq!(window.wait_ms(199_500, 0), 40_500);
        assert_eq!(window.wait_ms(241_000, 0), 0);
    }

    #[test]
    fn minute_window_counts_calls_in_flight_by_estimate_and_ended_ones_by_usage() {
        let mut window = window(None, Some(1_000));
        let large = window
            .take(0, 5_000)
            .expect("an empty minute takes any call");
        assert!(window.take(0, 1).is_none());
        window.end(large, Some(900));
        assert_eq!(window.usage(0), (1, 900));
        assert!(window.take(0, 101).is_none());
        let small = window.take(0, 100).expect("room");
        window.end(small, None);
        assert_eq!(window.usage(0), (1, 900), "an unsent call does not count");
        assert_eq!(window.usage(60_000), (0, 0));
    }
}
