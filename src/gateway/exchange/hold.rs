//! A hold that is open, and what is known of the call it was taken for. However the call ends, a panic or a vanished client
//! included, the hold is resolved exactly once: by `settle` or `release`, else when this value is dropped; where the log does
//! not take that, the ledger keeps it and tries again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::dialect::{DeliveredText, ResponseStream};
use crate::domain::event::{CallResult, Flags, Progress, Status};
use crate::domain::id::TeamId;
use crate::domain::money::Money;
use crate::domain::usage::{ReportedUsage, Side, Usage};
use crate::gateway::Gateway;
use crate::gateway::exchange::drain::DisconnectFlag;
use crate::gateway::request::reasoning_memory;
use crate::meter::estimates::TextSize;
use crate::meter::{HoldGrant, Receipt};
use crate::price::Bill;
use crate::route::Deployment;
use crate::store::AppendError;

pub(crate) struct OpenHold {
    pub gateway: Arc<Gateway>,
    pub deployment: Arc<Deployment>,
    pub held: HoldGrant,
    pub team: TeamId,
    pub ceiling: Money,
    /// the ceiling is no bound
    pub guessed: bool,
    pub tier_asked: Option<String>,
    /// the tier that served, where the head of the answer says it
    pub tier_served: Option<String>,
    pub output_cap: Option<u64>,
    /// bytes of the request that are text
    pub input_bytes: u64,
    /// when the hold was granted
    pub admitted: Instant,
    pub upstream_status: u16,
    pub first_content_ms: Option<u64>,
    /// when the upstream was sent the request: from here on it may bill
    pub sent_at: Option<Instant>,
    pub report: ReportedUsage,
    /// the report's output count is the upstream's last word
    pub output_is_final: bool,
    pub delivered: DeliveredText,
    pub resolved: bool,
    pub presence: DisconnectFlag,
    /// members of the request that the vendor got otherwise or not at all, for the head of the answer
    pub changed_members: Option<String>,
}

impl OpenHold {
    /// Books the call with what is known of it. On an error the ledger keeps the ending until it can be logged, and the answer
    /// must not be ended.
    pub(crate) fn settle(&mut self, status: Status) -> Result<Receipt, AppendError> {
        let mut ending = self.ending(status);
        // an answer that nobody waited for, whatever it was
        let status = if self.presence.client_has_gone() {
            Status::ClientGone
        } else {
            status
        };
        ending.status = status;
        let settled = self.gateway.ledger.settle(self.held.id, ending);
        let first = !std::mem::replace(&mut self.resolved, true);
        let mut receipt = settled.inspect_err(|error| {
            if first {
                tracing::error!(
                    "the end of call {} cannot be logged yet, its hold stays: {error}",
                    self.held.id.request
                );
                self.gateway.metrics.ended(status.if_undelivered());
            }
        })?;
        self.held.allowance = receipt.allowance.or(self.held.allowance.take());
        self.gateway.queue.wake(&receipt.freed);
        self.gateway
            .send_alerts(std::mem::take(&mut receipt.alerts));
        if first {
            self.gateway.metrics.ended(status);
        }
        self.learn(status);
        Ok(receipt)
    }

    /// When the answer must be whole.
    pub(crate) fn call_deadline(&self) -> Instant {
        self.sent_at.unwrap_or(self.admitted)
            + Duration::from_millis(self.gateway.limits.call_timeout_ms)
    }

    /// Keeps what the client's dialect cannot carry, for the turns that follow.
    pub(crate) fn remember(&self, passage: &ResponseStream) {
        if let Some(memory) = &self.gateway.memory
            && let Some(remembered) = passage.retained_reasoning()
        {
            reasoning_memory::keep(memory, self.team, remembered);
        }
    }

    /// Gives the hold back without a record: nothing was sent.
    pub(crate) fn release(&mut self) {
        self.resolved = true;
        match self.gateway.ledger.release(self.held.id) {
            Ok(freed) => self.gateway.queue.wake(&freed),
            Err(error) => tracing::error!(
                "the hold of call {} cannot be given back yet: {error}",
                self.held.id.request
            ),
        }
    }

    /// Notes how far the call has come, and what it would be booked at if the client went away now: a restart knows no more.
    pub(crate) fn log_progress(&self) {
        let progress = Progress {
            after_ms: self.admitted.elapsed().as_millis() as u64,
            output_bytes: self.delivered.text_bytes,
            usage: self.report.usage().cloned(),
            cost: self.ending(Status::ClientGone).cost,
        };
        self.gateway.ledger.progress(self.held.id, progress);
    }

    fn ending(&self, status: Status) -> CallResult {
        let (usage, flags) = self.usage(status);
        let ending = CallResult {
            ended_ms: self
                .held
                .at_ms
                .saturating_add(self.admitted.elapsed().as_millis() as u64),
            status,
            flags,
            usage,
            cost: Money::ZERO,
            lines: Vec::new(),
            output_cap: self.output_cap,
            upstream_status: self.upstream_status,
            first_content_ms: self.first_content_ms,
        };
        if self.report == ReportedUsage::Invalid {
            return ending.at_ceiling(self.ceiling, Flags::LYING_USAGE);
        }
        self.priced(ending)
    }

    fn priced(&self, mut ending: CallResult) -> CallResult {
        match self
            .deployment
            .price
            .cost(&ending.usage, self.tier_asked.as_deref())
        {
            Ok(bill) => {
                let over = ending.flags.has(Flags::ESTIMATED)
                    && bill.total > self.ceiling
                    && !self.guessed;
                let bill = match self.reported_bill().filter(|_| over) {
                    // what was reported is booked whole, whatever it comes to
                    Some(reported) if reported.total >= self.ceiling => reported,
                    // an estimate may be wrong, but it never takes more than was set aside for the worst case
                    _ if over => return ending.at_ceiling(self.ceiling, Flags::ESTIMATED),
                    _ => bill,
                };
                if bill.rates_estimated {
                    ending.flags = ending.flags.with(Flags::ESTIMATED);
                }
                ending.cost = bill.total;
                ending.lines = bill.lines;
                ending
            }
            Err(_) => {
                ending.flags = ending.flags.with(Flags::UNPRICED);
                ending
            }
        }
    }

    /// What the upstream's own counts come to, with nothing estimated beside them.
    fn reported_bill(&self) -> Option<Bill> {
        let mut reported = self.report.usage()?.clone();
        reported.service_tier = reported.service_tier.or_else(|| self.tier_served.clone());
        self.deployment
            .price
            .cost(&reported, self.tier_asked.as_deref())
            .ok()
    }

    /// What a call that ended well is booked at, as the client is told.
    pub fn used(&self) -> Usage {
        self.usage(Status::Ok).0
    }

    fn usage(&self, status: Status) -> (Usage, Flags) {
        let (mut usage, flags) = self.counted(status);
        usage.service_tier = usage.service_tier.or_else(|| self.tier_served.clone());
        (usage, flags)
    }

    /// What was used: as reported, and flagged as an estimate where a side of it was not. Who says that it failed bills no
    /// more than it said.
    fn counted(&self, status: Status) -> (Usage, Flags) {
        let mut usage = self.report.usage().cloned().unwrap_or_default();
        let missing = self.missing(&usage);
        if missing.is_empty() || status == Status::UpstreamError || self.is_refused() {
            return (usage, Flags::default());
        }
        for side in missing {
            self.estimate(side, &mut usage);
        }
        (usage, Flags::ESTIMATED)
    }

    /// The upstream's head was a refusal, which costs nothing whoever is left to hear it.
    fn is_refused(&self) -> bool {
        self.upstream_status != 0 && !(200..300).contains(&self.upstream_status)
    }

    /// The sides of a call that have to be estimated.
    fn missing(&self, usage: &Usage) -> Vec<Side> {
        let mut missing = Vec::new();
        let (input, output) = match self.report {
            ReportedUsage::Invalid => return missing,
            ReportedUsage::Missing => (false, false),
            ReportedUsage::Partial { missing, .. } => (
                missing == Side::Output,
                missing == Side::Input && self.output_is_final,
            ),
            // of an answer that is not over an empty beginning may have been told
            ReportedUsage::Complete(_) => (
                self.output_is_final || usage.in_total() > 0,
                self.output_is_final,
            ),
        };
        let trusted = self.deployment.provider.preset.zero_usage_is_real;
        let no_input = usage.in_total() == 0 && self.input_bytes > 0 && !trusted;
        let no_output = usage.out_total == 0 && self.delivered.text_bytes > 0 && !trusted;
        missing.extend((!input || no_input).then_some(Side::Input));
        missing.extend((!output || no_output).then_some(Side::Output));
        missing
    }

    fn estimate(&self, side: Side, usage: &mut Usage) {
        if side == Side::Input {
            let input = self.tokens(TextSize {
                bytes: self.input_bytes,
                cjk_chars: 0,
            });
            usage.uncached_in = usage.uncached_in.max(input);
            return;
        }
        let delivered = TextSize {
            bytes: self.delivered.text_bytes,
            cjk_chars: self.delivered.cjk_chars,
        };
        let delivered = self.tokens(delivered);
        usage.out_total = match self.report {
            // what was said of it was counted beside it, as Gemini's thoughts are
            ReportedUsage::Partial {
                missing: Side::Output,
                ..
            } => usage.out_total.saturating_add(delivered),
            _ => usage.out_total.max(delivered),
        };
    }

    fn tokens(&self, text: TextSize) -> u64 {
        self.gateway
            .estimates
            .tokens(&self.deployment.provider.name, &self.deployment.model, text)
    }

    fn learn(&self, status: Status) {
        if let (Status::Ok, ReportedUsage::Complete(usage), true) =
            (status, &self.report, self.output_is_final)
        {
            let text = TextSize {
                bytes: self.delivered.text_bytes,
                cjk_chars: self.delivered.cjk_chars,
            };
            let spoken = usage.out_total.saturating_sub(usage.reasoning);
            self.gateway.estimates.learn(
                &self.deployment.provider.name,
                &self.deployment.model,
                text,
                spoken,
            );
        }
    }
}

impl Drop for OpenHold {
    fn drop(&mut self) {
        if self.resolved {
            return;
        }
        if self.sent_at.is_none() {
            return self.release();
        }
        let _kept_by_the_ledger = self.settle(Status::ClientGone);
    }
}
