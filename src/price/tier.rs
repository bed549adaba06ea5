//! Service tier of a call: reads the words that a request or a response uses for it. A word that
//! nobody knows must never be taken for a discount.

use crate::domain::usage::INFERENCE_GEO_PREFIX;

/// Service tiers with rates in a sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tier {
    Standard,
    Batch,
    Flex,
    Priority,
    Ultrafast,
}

impl Tier {
    pub(super) const ALL: [Tier; 5] = [
        Tier::Standard,
        Tier::Batch,
        Tier::Flex,
        Tier::Priority,
        Tier::Ultrafast,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Tier::Standard => "standard",
            Tier::Batch => "batch",
            Tier::Flex => "flex",
            Tier::Priority => "priority",
            Tier::Ultrafast => "ultrafast",
        }
    }
}

/// Meaning of a tier word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TierChoice {
    Listed(Tier),
    /// factor of a faster speed where the model lists one, else the priority tier
    Fast,
    /// base or priority tier, at the vendor's choice
    Auto,
    /// the dearest tier of the model
    Unknown,
}

/// Tier and inference region of a call, as a request or a response names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServiceLevel {
    pub(super) choice: TierChoice,
    /// lower case, such as `us`
    pub(super) inference_geo: Option<String>,
}

impl ServiceLevel {
    pub(super) const STANDARD: ServiceLevel = ServiceLevel {
        choice: TierChoice::Listed(Tier::Standard),
        inference_geo: None,
    };

    /// Reads words joined by `+`, such as `fast+inference_geo=us`, in any case.
    pub(super) fn parse(words: &str) -> ServiceLevel {
        let mut level = ServiceLevel::STANDARD;
        for word in words.split('+') {
            let word = word.trim().to_ascii_lowercase();
            match word.strip_prefix(INFERENCE_GEO_PREFIX) {
                Some("global" | "not_available" | "") => {}
                Some(region) => level.inference_geo = Some(region.to_owned()),
                None => level.choice = choice(&word, level.choice),
            }
        }
        level
    }

    /// Billed level: the one that the response names. Without a name, the more expensive of the
    /// requested and the base tier, because no discount is confirmed.
    pub(super) fn billed(served: Option<&str>, requested: Option<&str>) -> ServiceLevel {
        if let Some(words) = served {
            return ServiceLevel::parse(words);
        }
        let mut level = requested.map_or(ServiceLevel::STANDARD, ServiceLevel::parse);
        if let TierChoice::Listed(Tier::Batch | Tier::Flex) | TierChoice::Auto = level.choice {
            level.choice = TierChoice::Listed(Tier::Standard);
        }
        level
    }
}

/// Meaning of one word. Words for the base tier do not change a choice made by another word.
fn choice(word: &str, before: TierChoice) -> TierChoice {
    match word {
        "" | "default" | "standard" | "standard_only" | "on_demand" | "unspecified" => before,
        "batch" => TierChoice::Listed(Tier::Batch),
        "flex" => TierChoice::Listed(Tier::Flex),
        "priority" => TierChoice::Listed(Tier::Priority),
        "ultrafast" => TierChoice::Listed(Tier::Ultrafast),
        "fast" => TierChoice::Fast,
        "auto" => TierChoice::Auto,
        _ => TierChoice::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn billed(served: Option<&str>, requested: Option<&str>) -> TierChoice {
        ServiceLevel::billed(served, requested).choice
    }

    #[test]
    fn billed_tier_is_that_of_the_response() {
        let listed = TierChoice::Listed;
        assert_eq!(billed(Some("flex"), None), listed(Tier::Flex));
        assert_eq!(billed(Some("FLEX"), None), listed(Tier::Flex));
        assert_eq!(
            billed(Some("default"), Some("priority")),
            listed(Tier::Standard)
        );
        for name in ["default", "standard", "on_demand", "STANDARD", ""] {
            assert_eq!(billed(Some(name), None), listed(Tier::Standard), "{name}");
        }
        assert_eq!(billed(None, Some("flex")), listed(Tier::Standard));
        assert_eq!(billed(None, Some("fast")), TierChoice::Fast);
        assert_eq!(billed(None, Some("auto")), listed(Tier::Standard));
        assert_eq!(billed(None, Some("ultrafast")), listed(Tier::Ultrafast));
    }

    #[test]
    fn unknown_tier_word_is_never_a_discount() {
        for word in ["scale", "flexible", "performance", "flex+turbo"] {
            assert_eq!(billed(Some(word), None), TierChoice::Unknown, "{word}");
            assert_eq!(billed(None, Some(word)), TierChoice::Unknown, "{word}");
        }
    }

    #[test]
    fn inference_geo_is_read_beside_the_tier() {
        let both = ServiceLevel::parse("fast+inference_geo=US");
        assert_eq!(
            (both.choice, both.inference_geo.as_deref()),
            (TierChoice::Fast, Some("us"))
        );
        assert_eq!(
            ServiceLevel::parse("inference_geo=global"),
            ServiceLevel::STANDARD
        );
    }
}
