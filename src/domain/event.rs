//! What the ledger's log remembers: a hold, how far a stream came, and how the hold ended. An event carries everything
//! that replaying it needs; a replay never looks at today's directory, limits or prices.

use std::sync::Arc;

use crate::domain::attribution::Attribution;
use crate::domain::id::{BudgetId, KeyId, OrganizationId, RequestId, TeamId};
use crate::domain::money::Money;
use crate::domain::usage::Usage;

/// One attempt's claim on every budget above the caller. Attempts of one request are told apart by `attempt`, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HoldId {
    pub request: RequestId,
    pub attempt: u8,
}

/// A budget and the start of the window that is charged (ms since 1970; 0 for `total`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Charge {
    pub budget: BudgetId,
    pub window_start_ms: u64,
}

/// Who asked for what, from whom it was got. The same in the hold and in its usage record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    pub organization: OrganizationId,
    pub team: TeamId,
    pub key: KeyId,
    /// the name the client asked for
    pub model_asked: String,
    pub provider: String,
    /// the deployment's model, as sent upstream
    pub model: String,
    /// the client's dialect and manner: `chat`, `messages`
    pub dialect: String,
    pub streamed: bool,
    pub attribution: Attribution,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// answered to its terminal event
    Ok,
    /// the upstream refused or failed before any content
    UpstreamError,
    /// the stream failed after it had begun: in-band error, idle deadline
    Broken,
    /// the stream ended without its terminal event
    Truncated,
    /// the client went away
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

    /// What it is if the client was not told the end of its answer.
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

/// How requests ended, coarsely: what sums are kept by, and what went wrong is found by. A stored row keeps the position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StatusClass {
    Ok,
    /// the upstream failed, at once or in the middle
    Failed,
    ClientGone,
    Orphaned,
    /// refused by the gateway: nothing was sent, nothing was booked
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

/// What a reader of a record must know about its figures. A set, kept as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u16);

impl Flags {
    /// tokens were estimated, not reported
    pub const ESTIMATED: Flags = Flags(1);
    /// in flight at a crash: booked at its ceiling
    pub const ORPHANED: Flags = Flags(2);
    /// the upstream billed more than was held
    pub const OVER_CEILING: Flags = Flags(4);
    /// the usage report was impossible: booked at its ceiling
    pub const LYING_USAGE: Flags = Flags(8);
    /// no price is known: booked at zero
    pub const UNPRICED: Flags = Flags(16);
    /// a `warn` budget is over its limit
    pub const OVER_WARNING: Flags = Flags(32);

    const NAMES: [(Flags, &'static str); 6] = [
        (Flags::ESTIMATED, "estimated"),
        (Flags::ORPHANED, "orphaned"),
        (Flags::OVER_CEILING, "over_ceiling"),
        (Flags::LYING_USAGE, "lying_usage"),
        (Flags::UNPRICED, "unpriced"),
        (Flags::OVER_WARNING, "over_warning"),
    ];

    #[must_use]
    pub fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    pub fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// The one flag that a word means.
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

/// Count × rate = amount: one summand of a cost, kept with the rate that was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostLine {
    /// one of `CLASSES`; `ceiling` where the whole hold was booked
    pub class: &'static str,
    pub count: u64,
    /// pico-USD per unit
    pub rate_pico: u64,
}

impl CostLine {
    /// The classes a line can have; a stored record keeps the position.
    pub const CLASSES: [&'static str; 13] = [
        "input",
        "cache_read",
        "cache_read_audio",
        "cache_write_5m",
        "cache_write_1h",
        "cache_write",
        "output",
        "audio_in",
        "audio_out",
        "image_out",
        "reasoning",
        "web_search",
        "ceiling",
    ];

    pub fn amount(&self) -> Money {
        Money::from_pico(i128::from(self.rate_pico)).times(self.count)
    }
}

/// How far an attempt is known to have come. At admission nothing has been delivered, and the cost is that of its input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// ms from admission
    pub after_ms: u64,
    pub output_bytes: u64,
    /// what the upstream had reported by then
    pub usage: Option<Usage>,
    /// what would be booked if the call had ended here, estimated where nothing was reported
    pub cost: Money,
}

/// The claim as it stands in the log and, for a long stream, in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub id: HoldId,
    /// admission: this instant chose the windows
    pub at_ms: u64,
    pub subject: Arc<Subject>,
    pub ceiling: Money,
    pub charges: Vec<Charge>,
    /// the last that was noted; kept in a record only where the call was orphaned
    pub progress: Progress,
}

impl Hold {
    /// The most that is known to be possible: its ceiling, or what was reported above it.
    pub fn cost_max(&self) -> Money {
        self.ceiling.max(self.progress.cost)
    }
}

/// How a hold ended in a bill: the whole usage record, so that it can be booked without its hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    pub hold: Hold,
    pub ending: CallResult,
}

/// How an attempt ended, as the gateway saw it, and what it cost.
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
    /// the HTTP status that the upstream answered with, 0 for none
    pub upstream_status: u16,
    /// ms from admission to the first content event
    pub first_content_ms: Option<u64>,
}

impl CallResult {
    /// Of a call that nobody saw end: its hold is booked whole.
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
        };
        ending.at_ceiling(ceiling, Flags::ORPHANED)
    }

    /// Books the whole hold: nothing better is known.
    #[must_use]
    pub fn at_ceiling(mut self, ceiling: Money, flag: Flags) -> CallResult {
        self.flags = self.flags.with(flag);
        self.cost = ceiling;
        self.lines = vec![CostLine {
            class: "ceiling",
            count: 1,
            rate_pico: u64::try_from(ceiling.pico()).unwrap_or(u64::MAX),
        }];
        self
    }

    /// The tokens that were used; `None` where the report of them cannot be true.
    pub fn tokens(&self) -> Option<u64> {
        let known = !self.flags.has(Flags::LYING_USAGE);
        known.then(|| self.usage.in_total().saturating_add(self.usage.out_total))
    }
}

/// A compensating entry: it changes what a record comes to in balances and reports, and leaves the record as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correction {
    pub at_ms: u64,
    /// added to the record's cost: negative to give back; zero says that the booked cost was looked at and stands
    pub amount: Money,
    pub reason: String,
    /// as the audit log names him
    pub actor: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerEvent {
    Hold(Hold),
    /// what a stream has delivered so far: at most every 2 s
    Progress {
        id: HoldId,
        progress: Progress,
    },
    Settle(Settlement),
    /// nothing was used: the claim is given back and no record is written
    Release {
        id: HoldId,
        at_ms: u64,
    },
}
