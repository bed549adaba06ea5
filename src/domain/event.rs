//! Ledger events as logged in the WAL: hold, progress of a stream, settlement, release. An event contains everything its
//! replay needs; a replay never consults the current directory, limits or prices.

use std::borrow::Cow;
use std::sync::Arc;

use crate::domain::attempt::AttemptNote;
use crate::domain::attribution::Attribution;
use crate::domain::cache::CacheNote;
pub use crate::domain::cost_line::{CostLine, LineUnit, PriceCard};
use crate::domain::id::{BudgetId, KeyId, OrganizationId, RequestId, TeamId};
use crate::domain::money::Money;
use crate::domain::pattern::Pattern;
use crate::domain::usage::Usage;

/// Id of one attempt's hold. `attempt` distinguishes the attempts of a request and starts at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HoldId {
    pub request: RequestId,
    pub attempt: u8,
}

impl HoldId {
    /// Id of the first attempt of a request.
    pub const fn first(request: RequestId) -> HoldId {
        HoldId {
            request,
            attempt: 1,
        }
    }
}

/// A charged budget window: budget and window start (ms since 1970; 0 for `total`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Charge {
    pub budget: BudgetId,
    pub window_start_ms: u64,
}

/// Tenant, model and provider of a call; identical in the hold and its usage record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    pub organization: OrganizationId,
    pub team: TeamId,
    pub key: KeyId,
    /// model name as requested by the client
    pub model_asked: Arc<str>,
    pub provider: Arc<str>,
    /// model name as sent upstream
    pub model: Arc<str>,
    /// the client's dialect: `chat`, `messages`
    pub dialect: Cow<'static, str>,
    pub streamed: bool,
    pub attribution: Attribution,
    /// other models that the request lets run inside the call, in the vendor's tools
    pub second_models: Vec<String>,
}

impl Subject {
    /// Returns true if a pattern of a budget or rate limit counts the call: it matches the model or one that runs inside it.
    pub fn is_counted_by(&self, pattern: &Pattern) -> bool {
        let runs_inside = |model: &String| pattern.matches_deployment(model, &self.provider, model);
        pattern.matches_deployment(&self.model_asked, &self.provider, &self.model)
            || self.second_models.iter().any(runs_inside)
    }
}

/// Final status of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// complete up to the terminal event
    Ok,
    /// the upstream rejected the call or failed before any content
    UpstreamError,
    /// the stream failed after its start: in-band error, idle deadline
    Broken,
    /// the stream ended without its terminal event
    Truncated,
    /// the client disconnected
    ClientGone,
    /// the gateway's process ended while the call was in flight
    Orphaned,
}

impl Status {
    pub const ALL: [Status; 6] = [
        Status::Ok,
        Status::UpstreamError,
        Status::Broken,
        Status::Truncated,
        Status::ClientGone,
        Status::Orphaned,
    ];

    /// Status to record if the end of the response was not delivered to the client.
    #[must_use]
    pub fn if_undelivered(self) -> Status {
        if self == Status::Ok {
            Status::Broken
        } else {
            self
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::UpstreamError => "upstream_error",
            Status::Broken => "broken",
            Status::Truncated => "truncated",
            Status::ClientGone => "client_gone",
            Status::Orphaned => "orphaned",
        }
    }

    pub fn parse(word: &str) -> Option<Status> {
        Status::ALL
            .into_iter()
            .find(|status| status.as_str() == word)
    }

    pub fn class(self) -> StatusClass {
        match self {
            Status::Ok => StatusClass::Ok,
            Status::UpstreamError | Status::Broken | Status::Truncated => StatusClass::Failed,
            Status::ClientGone => StatusClass::ClientGone,
            Status::Orphaned => StatusClass::Orphaned,
        }
    }
}

/// Coarse status, the key of aggregates and filters. Stored rows contain the position in `ALL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StatusClass {
    Ok,
    /// the upstream failed, before or during the response
    Failed,
    ClientGone,
    Orphaned,
    /// refused by the gateway: nothing sent, nothing charged
    Refused,
}

impl StatusClass {
    pub const ALL: [StatusClass; 5] = [
        StatusClass::Ok,
        StatusClass::Failed,
        StatusClass::ClientGone,
        StatusClass::Orphaned,
        StatusClass::Refused,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            StatusClass::Ok => "ok",
            StatusClass::Failed => "failed",
            StatusClass::ClientGone => "client_gone",
            StatusClass::Orphaned => "orphaned",
            StatusClass::Refused => "refused",
        }
    }

    pub fn parse(word: &str) -> Option<StatusClass> {
        StatusClass::ALL
            .into_iter()
            .find(|class| class.as_str() == word)
    }
}

/// Caveats about the figures of a record, and its origin: a set, stored as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u16);

impl Flags {
    /// tokens were estimated, not reported
    pub const ESTIMATED: Flags = Flags(1);
    /// in flight at a crash; charged at its ceiling
    pub const ORPHANED: Flags = Flags(2);
    /// the upstream billed more than was held
    pub const OVER_CEILING: Flags = Flags(4);
    /// the reported usage was invalid; charged at its ceiling
    pub const LYING_USAGE: Flags = Flags(8);
    /// no price is known; charged at zero
    pub const UNPRICED: Flags = Flags(16);
    /// a `warn` budget is over its limit
    pub const OVER_WARNING: Flags = Flags(32);
    /// more cached tokens were reported than the prompt has; the excess is not billed
    pub const CLAMPED: Flags = Flags(64);
    /// copy of a client's request for another deployment
    pub const MIRROR: Flags = Flags(128);
    /// request of a drill
    pub const DRILL: Flags = Flags(256);
    /// prompt capture was on for the call
    pub const CAPTURED: Flags = Flags(512);

    const NAMES: [(Flags, &'static str); 10] = [
        (Flags::ESTIMATED, "estimated"),
        (Flags::ORPHANED, "orphaned"),
        (Flags::OVER_CEILING, "over_ceiling"),
        (Flags::LYING_USAGE, "lying_usage"),
        (Flags::UNPRICED, "unpriced"),
        (Flags::OVER_WARNING, "over_warning"),
        (Flags::CLAMPED, "clamped"),
        (Flags::MIRROR, "mirror"),
        (Flags::DRILL, "drill"),
        (Flags::CAPTURED, "captured"),
    ];

    #[must_use]
    pub fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    pub fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flag with this name.
    pub fn parse(name: &str) -> Option<Flags> {
        Flags::NAMES
            .into_iter()
            .find(|(_, known)| *known == name)
            .map(|(flag, _)| flag)
    }

    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Flags::NAMES
            .into_iter()
            .filter(move |(flag, _)| self.has(*flag))
            .map(|(_, name)| name)
    }
}

/// Known progress of an attempt. At admission nothing is delivered and the cost is that of the input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// ms from admission
    pub after_ms: u64,
    pub output_bytes: u64,
    /// usage reported so far
    pub usage: Option<Usage>,
    /// cost if the call ended here; estimated if no usage was reported
    pub cost: Money,
}

/// Reservation of one attempt in every budget that counts it, as stored in the WAL and the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub id: HoldId,
    /// time of admission; determines the budget windows
    pub at_ms: u64,
    pub subject: Arc<Subject>,
    pub ceiling: Money,
    pub charges: Vec<Charge>,
    /// latest recorded progress; a usage record keeps it only for orphaned calls
    pub progress: Progress,
}

impl Hold {
    /// Maximum possible cost: the ceiling, or the reported cost if higher.
    pub fn cost_max(&self) -> Money {
        self.ceiling.max(self.progress.cost)
    }
}

/// Settlement of a hold: the complete usage record, so that it can be posted without the logged hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    pub hold: Hold,
    pub ending: CallResult,
}

/// Result of an attempt as observed by the gateway, with its cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallResult {
    pub ended_ms: u64,
    pub status: Status,
    pub flags: Flags,
    pub usage: Usage,
    pub cost: Money,
    pub lines: Vec<CostLine>,
    /// the output cap sent upstream, if any
    pub output_cap: Option<u64>,
    /// HTTP status of the upstream response; 0 for none
    pub upstream_status: u16,
    /// ms from admission to the first content event
    pub first_content_ms: Option<u64>,
    /// choice of the target and failure; `None` where there is nothing to explain
    pub note: Option<Box<AttemptNote>>,
    /// lookup in the cache; `None` where it is off
    pub cache: Option<Box<CacheNote>>,
}

impl CallResult {
    /// Result of a call with unknown end: the full hold is charged.
    pub fn orphaned(ceiling: Money, ended_ms: u64) -> CallResult {
        let ending = CallResult {
            ended_ms,
            status: Status::Orphaned,
            flags: Flags::default(),
            usage: Usage::default(),
            cost: Money::ZERO,
            lines: Vec::new(),
            output_cap: None,
            upstream_status: 0,
            first_content_ms: None,
            note: None,
            cache: None,
        };
        ending.at_ceiling(ceiling, Flags::ORPHANED)
    }

    /// Charges the full hold because the actual cost is unknown.
    #[must_use]
    pub fn at_ceiling(mut self, ceiling: Money, flag: Flags) -> CallResult {
        self.flags = self.flags.with(flag);
        self.cost = ceiling;
        self.lines = vec![CostLine {
            class: "ceiling",
            count: 1,
            rate_pico: u64::try_from(ceiling.pico()).unwrap_or(u64::MAX),
            unit: LineUnit::Request,
            ..CostLine::default()
        }];
        self
    }

    /// Total tokens; `None` if the reported usage was invalid.
    pub fn tokens(&self) -> Option<u64> {
        let known = !self.flags.has(Flags::LYING_USAGE);
        known.then(|| self.usage.in_total().saturating_add(self.usage.out_total))
    }
}

/// Correction: a compensating entry that changes balances and reports and leaves the usage record unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correction {
    pub at_ms: u64,
    /// added to the record's cost; negative to refund; zero confirms the charged cost after review
    pub amount: Money,
    pub reason: String,
    /// actor in the form of the audit log
    pub actor: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerEvent {
    Hold(Hold),
    /// progress of a stream, at most every 2 s
    Progress {
        id: HoldId,
        progress: Progress,
    },
    Settle(Settlement),
    /// the hold is returned unused and no record is written
    Release {
        id: HoldId,
        at_ms: u64,
    },
}
