//! Open hold of one attempt. However the call ends, a panic or a vanished client included, the
//! hold is resolved exactly once: by `settle` or `release`, else when this value is dropped. What the log does not take, the
//! ledger keeps and retries.

mod estimates;
mod trace;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::dialect::{DeliveredText, ResponseStream};
use crate::domain::api_error::ApiError;
use crate::domain::attempt::{AttemptNote, FailureNote};
use crate::domain::event::{CallResult, Flags, Progress, Status};
use crate::domain::money::Money;
use crate::domain::usage::{ReportedUsage, Usage};
use crate::gateway::caching::recorder::{AnswerForm, RecordedAnswer};
use crate::gateway::exchange::context::ExchangeContext;
use crate::gateway::exchange::disconnect_flag::DisconnectFlag;
use crate::gateway::exchange::facts::CallFacts;
use crate::gateway::exchange::outcome::{AttemptFailure, DeliveredPart};
use crate::gateway::exchange::settler::Settler;
use crate::gateway::mirror_stats::MirroredCall;
use crate::gateway::origin::RequestOrigin;
use crate::meter::{HoldGrant, Receipt, ReportedBill};
use crate::price::{Bill, PriceUnknown};
use crate::provider::OnDisconnect;
use crate::route::{FailedAttempt, HealthChange, RunningCall};
use crate::store::AppendError;

/// Open hold, with what is read of the response so far.
pub(in crate::gateway) struct OpenHold {
    settler: Arc<Settler>,
    pub grant: HoldGrant,
    pub facts: CallFacts,
    /// tier that served the call, where the response head states it
    pub tier_served: Option<String>,
    pub upstream_status: u16,
    pub first_content_ms: Option<u64>,
    /// set before the request is sent: from then on the vendor may bill
    pub sent_at: Option<Instant>,
    pub report: ReportedUsage,
    /// the reported output is the upstream's final count
    pub output_is_final: bool,
    pub delivered: DeliveredText,
    pub disconnect: DisconnectFlag,
    pub note: AttemptNote,
    /// call at a deployment whose health is known
    pub call: Option<RunningCall>,
    /// the gateway fetches for this call: its request stays counted, whatever becomes of it
    pub is_counted: bool,
    resolved: bool,
}

impl OpenHold {
    /// Boxed, because the futures that own one would each copy it.
    pub fn new(
        settler: Arc<Settler>,
        grant: HoldGrant,
        facts: CallFacts,
        note: AttemptNote,
        call: Option<RunningCall>,
    ) -> Box<OpenHold> {
        let is_drained = facts.deployment.provider.on_disconnect == OnDisconnect::Drain;
        Box::new(OpenHold {
            settler,
            grant,
            facts,
            tier_served: None,
            upstream_status: 0,
            first_content_ms: None,
            sent_at: None,
            report: ReportedUsage::Missing,
            output_is_final: false,
            delivered: DeliveredText::default(),
            disconnect: DisconnectFlag::new(is_drained),
            note,
            call,
            is_counted: false,
            resolved: false,
        })
    }

    pub fn provider(&self) -> &str {
        &self.facts.deployment.provider.name
    }

    /// The request goes to the vendor.
    pub fn mark_sent(&mut self, now: Instant) {
        self.sent_at = Some(now);
        if let Some(call) = &mut self.call {
            call.mark_sent();
        }
    }

    pub fn is_resolved(&self) -> bool {
        self.resolved
    }

    /// Settles the call with what is known of it. On an error the ledger keeps the result until it can be logged, and the
    /// reply must not be finished.
    pub fn settle(&mut self, status: Status) -> Result<Receipt, AppendError> {
        let mut result = self.result(status);
        // usage counts as if the response had been delivered; only the status says that no client was left
        let status = if self.disconnect.is_set() {
            Status::ClientGone
        } else {
            status
        };
        result.status = status;
        let (first, bill, flags) = (!self.resolved, result.cost, result.flags);
        if let Some(call) = &mut self.call {
            call.note_tokens(result.usage.in_total() + result.usage.out_total);
        }
        if first {
            self.trace_attempt(&result);
        }
        let settled = self.settler.settle(self.grant.id, result, first);
        // set after the settlement: if the ledger panics, `drop` still settles the hold
        self.resolved = true;
        let receipt = settled?;
        self.grant.allowance = receipt.allowance.or(self.grant.allowance.take());
        if first && self.facts.origin == RequestOrigin::Mirror {
            self.note_mirrored(status, bill);
        }
        self.learn(status);
        let is_reported = !flags.has(Flags::ESTIMATED) && !flags.has(Flags::UNPRICED);
        if first && is_reported && !self.facts.guessed {
            self.note_bill(bill, status);
        }
        if status == Status::Ok {
            self.note_success();
        }
        Ok(receipt)
    }

    fn note_mirrored(&self, status: Status, cost: Money) {
        let call = MirroredCall {
            status,
            cost,
            total_ms: self.elapsed_ms(),
            first_content_ms: self.first_content_ms,
        };
        let target = self.facts.deployment.qualified();
        self.settler.mirrors.note(target, call);
    }

    /// Teaches the ceilings of the deployment what the call cost.
    fn note_bill(&self, bill: Money, status: Status) {
        let facts = &self.facts;
        self.settler.ceilings.note(&ReportedBill {
            provider: &facts.deployment.provider.name,
            model: &facts.deployment.model,
            request: self.grant.id.request,
            at_ms: self.grant.at_ms,
            factor: facts.ceiling_factor,
            ceiling: facts.ceiling,
            bill,
            foreign_members: &facts.foreign_members,
            is_complete: status == Status::Ok,
        });
    }

    /// Tells the deployment's health of an answer.
    fn note_success(&mut self) {
        let (now_ms, first_content_ms) = (self.facts.route.boot_ms(), self.first_content_ms);
        let change = self
            .call
            .as_mut()
            .and_then(|call| call.succeeded(now_ms, first_content_ms));
        self.log_health(change);
    }

    /// Logs a change of a live deployment's health.
    fn log_health(&self, change: Option<HealthChange>) {
        if self.facts.origin != RequestOrigin::Drill {
            self.settler.note_health(change);
        }
    }

    /// Decides about the next attempt and notes the failure, before the settlement that stores the note.
    pub fn note_failure(&mut self, failure: &AttemptFailure, delivered: DeliveredPart) {
        let now_ms = self.facts.route.boot_ms();
        let change = self
            .call
            .as_mut()
            .and_then(|call| call.failed(now_ms, failure.class, failure.retry_after_s));
        self.log_health(change);
        // a client that is gone gets no further attempt
        if self.disconnect.is_set() || self.resolved {
            return;
        }
        let (decision, why) = self.facts.route.decide(FailedAttempt {
            class: failure.class,
            retry_after_s: failure.retry_after_s,
            content_sent: delivered == DeliveredPart::Content,
        });
        if decision.has_further_attempt() {
            let request = self.grant.id.request;
            let retry = || self.settler.ledger.begin_retry(request);
            self.facts.route.begin_retry(retry);
        }
        self.note.failure = Some(FailureNote {
            class: failure.class,
            vendor_code: AttemptNote::cut(failure.vendor_code.clone()),
            decision,
            why: AttemptNote::cut(why),
            detail: failure.fault.as_deref().map_or(String::new(), |fault| {
                AttemptNote::cut(format!("{}: {}", fault.reason, fault.detail))
            }),
        });
    }

    /// Returns the hold without a record: nothing was sent.
    pub fn release(&mut self) {
        self.resolved = true;
        self.settler.release(self.grant.id, self.is_counted);
    }

    /// Waits until the grant is as durable as `ledger.sync` promises.
    pub async fn wait_for_disk(&self) -> Result<(), ApiError> {
        self.wait_until_durable(self.grant.sequence).await
    }

    /// Waits until a record is as durable as `ledger.sync` promises.
    pub async fn wait_until_durable(&self, sequence: u64) -> Result<(), ApiError> {
        self.settler.wait_until_durable(sequence).await
    }

    /// Instant by which the response must be complete.
    pub fn call_deadline(&self) -> Instant {
        self.facts.deadlines.call_deadline(self.began())
    }

    /// Instant by which a stream must have content.
    pub fn content_deadline(&self) -> Option<Instant> {
        self.facts.deadlines.content_deadline(self.began())
    }

    fn began(&self) -> Instant {
        self.sent_at.unwrap_or(self.facts.admitted)
    }

    /// Notes the first content: known to the client, or counted as delivered, whichever comes first.
    pub fn note_content(&mut self) {
        if self.first_content_ms.is_none() {
            let (now_ms, first_content_ms) = (self.facts.route.boot_ms(), self.elapsed_ms());
            self.first_content_ms = Some(first_content_ms);
            let call = self.call.as_mut();
            let change = call.and_then(|call| call.answered(now_ms, first_content_ms));
            self.log_health(change);
        }
    }

    fn elapsed_ms(&self) -> u64 {
        self.facts.admitted.elapsed().as_millis() as u64
    }

    /// Stores the reasoning that the client's dialect cannot carry, for later turns.
    pub fn keep_reasoning(&self, context: &ExchangeContext, stream: &ResponseStream) {
        if let Some(retained) = stream.retained_reasoning() {
            context.reasoning.keep(self.facts.team, retained);
        }
    }

    /// Takes bytes of the response as the client receives it, for the cache.
    pub fn record_answer(&mut self, bytes: &Bytes) {
        if let Some(cache) = &mut self.facts.cache {
            cache.record(bytes);
        }
    }

    /// Keeps a complete answer in the cache, where that is on.
    pub fn keep_answer(&mut self, context: &ExchangeContext, form: AnswerForm, cost: Money) {
        let cache = self.facts.cache.as_mut();
        let Some(recorder) = cache.and_then(|cache| cache.recorder.take()) else {
            return;
        };
        let usage = self.final_usage();
        recorder.keep(RecordedAnswer {
            request: self.grant.id.request,
            form,
            deployment: &self.facts.deployment,
            sealer: context.reasoning.sealer.clone(),
            usage,
            cost,
        });
    }

    /// Logs progress, with the cost at which the call is booked if the process ends now.
    pub fn log_progress(&self) {
        let progress = Progress {
            after_ms: self.elapsed_ms(),
            output_bytes: self.delivered.text_bytes,
            usage: self.report.usage().cloned(),
            cost: self.result(Status::ClientGone).cost,
        };
        self.settler.log_progress(self.grant.id, progress);
    }

    fn result(&self, status: Status) -> CallResult {
        let (usage, flags) = self.usage(status);
        let result = CallResult {
            ended_ms: self.grant.at_ms.saturating_add(self.elapsed_ms()),
            status,
            flags: flags.with(self.facts.origin.flag()).with(self.facts.marks),
            usage,
            cost: Money::ZERO,
            lines: Vec::new(),
            output_cap: self.facts.output_cap,
            upstream_status: self.upstream_status,
            first_content_ms: self.first_content_ms,
            note: (self.note != AttemptNote::default()).then(|| Box::new(self.note.clone())),
            cache: self
                .facts
                .cache
                .as_ref()
                .map(|cache| Box::new(cache.note.clone())),
        };
        if self.report == ReportedUsage::Invalid {
            return result.at_ceiling(self.facts.ceiling, Flags::LYING_USAGE);
        }
        self.with_price(result)
    }

    fn with_price(&self, mut result: CallResult) -> CallResult {
        let facts = &self.facts;
        let (bill, is_priced) = match self.bill(&result.usage) {
            Ok(priced) => priced,
            // the vendor has not reported what the call cost
            Err(PriceUnknown) if facts.deployment.price.is_reported() => {
                return self.without_reported_cost(result);
            }
            Err(PriceUnknown) => (Bill::default(), false),
        };
        if !is_priced {
            result.flags = result.flags.with(Flags::UNPRICED);
        }
        let is_estimate = result.flags.has(Flags::ESTIMATED);
        let over = is_estimate && bill.total > facts.ceiling && !facts.guessed;
        let reported = over.then(|| self.reported_bill()).flatten();
        let bill = match reported {
            // reported usage is booked whole, whatever it costs
            Some(reported) if reported.total >= facts.ceiling => reported,
            // an estimate may be wrong, but never costs more than the ceiling
            _ if over => return result.at_ceiling(facts.ceiling, Flags::ESTIMATED),
            _ => bill,
        };
        if bill.rates_estimated {
            result.flags = result.flags.with(Flags::ESTIMATED);
        }
        if bill.is_clamped {
            result.flags = result.flags.with(Flags::CLAMPED);
        }
        result.cost = bill.total;
        result.lines = bill.lines;
        result
    }

    /// Bill of the upstream's own counts, without estimates.
    fn reported_bill(&self) -> Option<Bill> {
        let mut reported = self.report.usage()?.clone();
        reported.service_tier = reported.service_tier.or_else(|| self.tier_served.clone());
        self.bill(&reported).ok().map(|(bill, _)| bill)
    }

    /// Bill of the call with the models that ran inside it; false if one of these has no price.
    fn bill(&self, usage: &Usage) -> Result<(Bill, bool), PriceUnknown> {
        let facts = &self.facts;
        let mut bill = facts
            .deployment
            .price
            .cost(usage, facts.pricing(&facts.deployment))?;
        let is_complete = bill.is_reported();
        let mut is_priced = true;
        for second in usage.second_models.iter().filter(|_| !is_complete) {
            let deployment = facts.routes.beside(&facts.deployment, &second.model);
            let usage = Usage {
                service_tier: usage.service_tier.clone(),
                ..second.usage.clone()
            };
            match deployment.price.cost(&usage, facts.pricing(&deployment)) {
                Ok(more) => bill.add(more),
                Err(PriceUnknown) => is_priced = false,
            }
        }
        Ok((bill, is_priced))
    }

    /// A call of a model whose price only the vendor's report tells, without that report: charged at its ceiling.
    fn without_reported_cost(&self, result: CallResult) -> CallResult {
        if result.usage.in_total() == 0 && result.usage.out_total == 0 {
            return result;
        }
        result.at_ceiling(self.facts.ceiling, Flags::ESTIMATED)
    }

    /// Usage of a call that ends well, as the client is told.
    pub fn final_usage(&self) -> Usage {
        self.usage(Status::Ok).0
    }

    fn usage(&self, status: Status) -> (Usage, Flags) {
        let (mut usage, flags) = self.counted_usage(status);
        usage.service_tier = usage.service_tier.or_else(|| self.tier_served.clone());
        usage.bound_texts();
        (usage, flags)
    }

    /// Reported usage; sides that were not reported are estimated and flagged. An upstream that reports a failure bills no more
    /// than it reports.
    fn counted_usage(&self, status: Status) -> (Usage, Flags) {
        let mut usage = self.report.usage().cloned().unwrap_or_default();
        let missing = self.missing_sides(&usage);
        if missing.is_empty() || status == Status::UpstreamError || self.is_rejected() {
            return (usage, Flags::default());
        }
        for side in missing {
            self.estimate(side, &mut usage);
        }
        (usage, Flags::ESTIMATED)
    }

    /// Returns `true` if the response head was a rejection, which costs nothing even without a client.
    fn is_rejected(&self) -> bool {
        self.upstream_status != 0 && !(200..300).contains(&self.upstream_status)
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
