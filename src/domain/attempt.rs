//! Notes about one attempt of a request: why its target was chosen, how it failed, and the decision that followed. Plain values; the
//! words are part of the API and of stored records.

/// Neutral class of a failed attempt, the same for every vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureClass {
    RateLimited,
    Overloaded,
    TimedOut,
    /// no connection was made, or the address cannot be called
    ConnectFailed,
    ContextTooLong,
    ContentFiltered,
    /// the vendor rejects the request; another attempt would be rejected too
    BadRequest,
    /// the vendor rejects the gateway's credential or its account
    BadCredential,
    /// the account behind the credential has no quota or no money left
    QuotaExhausted,
    /// the vendor does not know the configured model or address
    ModelNotFound,
    /// the vendor reports an error of its own, or the response is cut short, malformed or of the wrong kind
    Broken,
    /// the gateway failed: it stops, its ledger is unavailable, or it has a defect
    Gateway,
}

impl FailureClass {
    /// All classes; stored records contain the position.
    pub const ALL: [FailureClass; 12] = [
        FailureClass::RateLimited,
        FailureClass::Overloaded,
        FailureClass::TimedOut,
        FailureClass::ConnectFailed,
        FailureClass::ContextTooLong,
        FailureClass::ContentFiltered,
        FailureClass::BadRequest,
        FailureClass::BadCredential,
        FailureClass::QuotaExhausted,
        FailureClass::ModelNotFound,
        FailureClass::Broken,
        FailureClass::Gateway,
    ];

    /// Failures that another API key of the same provider may mend.
    pub const OF_KEY: [FailureClass; 3] = [
        FailureClass::RateLimited,
        FailureClass::BadCredential,
        FailureClass::QuotaExhausted,
    ];

    /// Returns `true` for a failure that every call has until somebody mends its cause.
    pub fn is_lasting(self) -> bool {
        matches!(
            self,
            FailureClass::BadCredential
                | FailureClass::QuotaExhausted
                | FailureClass::ModelNotFound
        )
    }

    pub fn as_str(self) -> &'static str {
        match self {
            FailureClass::RateLimited => "rate_limited",
            FailureClass::Overloaded => "overloaded",
            FailureClass::TimedOut => "timed_out",
            FailureClass::ConnectFailed => "connect_failed",
            FailureClass::ContextTooLong => "context_too_long",
            FailureClass::ContentFiltered => "content_filtered",
            FailureClass::BadRequest => "bad_request",
            FailureClass::BadCredential => "bad_credential",
            FailureClass::QuotaExhausted => "quota_exhausted",
            FailureClass::ModelNotFound => "model_not_found",
            FailureClass::Broken => "broken",
            FailureClass::Gateway => "gateway",
        }
    }

    pub fn parse(word: &str) -> Option<FailureClass> {
        FailureClass::ALL
            .into_iter()
            .find(|class| class.as_str() == word)
    }
}

/// Set of failure classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FailureClasses(u16);

impl FailureClasses {
    pub fn of(classes: &[FailureClass]) -> FailureClasses {
        let bits = classes.iter().map(|class| 1 << *class as u16);
        FailureClasses(bits.fold(0, |set, bit: u16| set | bit))
    }

    pub fn contains(self, class: FailureClass) -> bool {
        self.0 & (1 << class as u16) != 0
    }
}

/// Decision after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// the same target again
    Retry,
    /// another target of the same route
    NextTarget,
    /// a target of a fallback
    Fallback,
    /// no other attempt can mend the failure
    GiveUp,
    /// another attempt could, but none is left
    Exhausted,
}

impl Decision {
    /// All decisions; stored records contain the position.
    pub const ALL: [Decision; 5] = [
        Decision::Retry,
        Decision::NextTarget,
        Decision::Fallback,
        Decision::GiveUp,
        Decision::Exhausted,
    ];

    /// Returns `true` if another attempt follows.
    pub fn has_further_attempt(self) -> bool {
        matches!(
            self,
            Decision::Retry | Decision::NextTarget | Decision::Fallback
        )
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Decision::Retry => "retry",
            Decision::NextTarget => "next_target",
            Decision::Fallback => "fallback",
            Decision::GiveUp => "give_up",
            Decision::Exhausted => "exhausted",
        }
    }
}

/// Choice of a target and outcome of its attempt, for the explanation of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptNote {
    /// route that led to the target; empty for a model called by its own name
    pub route: String,
    /// strategy and the figures that it saw
    pub chosen: String,
    /// wait before the attempt
    pub wait_ms: u64,
    pub failure: Option<FailureNote>,
}

/// Failure of an attempt and the decision that followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureNote {
    pub class: FailureClass,
    /// the vendor's own error code; empty if it gave none
    pub vendor_code: String,
    pub decision: Decision,
    pub why: String,
    /// `reason: cause`, in the words of the system or a library; empty where the provider is not at fault
    pub detail: String,
}

impl AttemptNote {
    /// Longest text of a note; longer ones are cut, because each ledger record has a bounded size.
    pub const TEXT_BYTES_MAX: usize = 240;

    /// Cuts a text to the length that a note stores.
    pub fn cut(mut text: String) -> String {
        let mut end = text.len().min(AttemptNote::TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_class_words_round_trip_and_sets_contain_their_members() {
        for class in FailureClass::ALL {
            assert_eq!(FailureClass::parse(class.as_str()), Some(class));
            let only = FailureClasses::of(&[class]);
            let members = FailureClass::ALL.into_iter().filter(|c| only.contains(*c));
            assert_eq!(members.collect::<Vec<_>>(), [class]);
        }
        assert_eq!(FailureClass::parse("nonsense"), None);
    }

    #[test]
    fn note_text_is_cut_at_a_character() {
        let cut = AttemptNote::cut("é".repeat(200));
        assert_eq!(cut.len(), AttemptNote::TEXT_BYTES_MAX);
        assert_eq!(AttemptNote::cut("short".into()), "short");
    }
}
