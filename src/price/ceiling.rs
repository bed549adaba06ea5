//! The most that a call can cost, before anybody is asked: the bound of its input and the cap of its output in, money out.
//! It may be too high, never too low: any usage within the bound and the cap, at any tier that was possible, costs at most
//! the ceiling.

use super::rates::{Rates, Tier};
use super::{Price, PriceUnknown};
use crate::domain::input_bound::InputBound;
use crate::domain::money::Money;

/// The most tokens that one image comes to: 10,000 patches of 32 × 32 pixels at full detail, and a quarter for the model's
/// multiplier. Models that count more say so in the sheet (`image_tokens`).
const IMAGE_TOKENS: u64 = 12_500;

/// What a model's template adds once for tools (346 to 804 tokens where vendors publish it).
const TOOL_PREAMBLE_TOKENS: u64 = 1_000;

/// What it adds for each tool beyond the tool's bytes: a vendor-defined tool (a computer, an editor, a shell) stands in the
/// body as a name only and comes to at most 735 tokens where published.
const TOOL_TOKENS: u64 = 800;

/// Why a call has no ceiling.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CeilingError {
    /// no price is known for the model
    #[error("{PriceUnknown}")]
    Unpriced,
    /// nothing bounds the input: the reason, as `remote image URL`
    #[error("nothing bounds what this request can cost: {0}")]
    Unbounded(String),
}

/// The dearest rates that could apply to one call.
#[derive(Default)]
struct HighestRates {
    input: u64,
    output: u64,
    search: u64,
}

impl HighestRates {
    fn consider(&mut self, rates: &Rates, audio: bool) {
        self.input = self.input.max(rates.dearest_input(audio));
        self.output = self.output.max(rates.dearest_output());
        self.search = self.search.max(rates.search);
    }
}

impl Price {
    /// The most that a call costs with this input and at most `output_cap` tokens in each of `choices` answers.
    pub fn ceiling(
        &self,
        input: &InputBound,
        output_cap: u64,
        choices: u64,
        tier_asked: Option<&str>,
    ) -> Result<Money, CeilingError> {
        let (input, output_rate) = self.bounded(input, tier_asked)?;
        Ok(input.plus(output_rate.times(output_cap).times(choices)))
    }

    /// The most that the input alone costs.
    pub fn input_ceiling(
        &self,
        input: &InputBound,
        tier_asked: Option<&str>,
    ) -> Result<Money, CeilingError> {
        self.bounded(input, tier_asked).map(|(input, _)| input)
    }

    /// How many output tokens `room` buys in each of `choices` answers, once the input is paid for.
    pub fn affordable_output(
        &self,
        input: &InputBound,
        choices: u64,
        tier_asked: Option<&str>,
        room: Money,
    ) -> Result<u64, CeilingError> {
        let (input, output_rate) = self.bounded(input, tier_asked)?;
        let left = room.minus(input).pico();
        let per_token = output_rate.times(choices.max(1)).pico();
        Ok(match (left, per_token) {
            (..0, _) => 0,
            (_, 0) => u64::MAX,
            _ => u64::try_from(left / per_token).unwrap_or(u64::MAX),
        })
    }

    /// The most that the input costs, and the dearest rate of an output token.
    fn bounded(
        &self,
        input: &InputBound,
        tier_asked: Option<&str>,
    ) -> Result<(Money, Money), CeilingError> {
        if !self.is_known() {
            return Err(CeilingError::Unpriced);
        }
        if matches!(self, Price::Free) {
            return Ok((Money::ZERO, Money::ZERO));
        }
        if let Some(word) = tier_asked.filter(|word| !self.lists(Tier::named(word))) {
            return Err(CeilingError::Unbounded(format!(
                "the price sheet has no rates for {word}"
            )));
        }
        let tokens = self.input_tokens(input)?;
        let dearest = self.dearest(tokens, input.audio, tier_asked);
        let paid = |rate: u64, count| Money::from_pico(i128::from(rate)).times(count);
        Ok((
            paid(dearest.input, tokens).plus(paid(dearest.search, input.searches)),
            paid(dearest.output, 1),
        ))
    }

    /// The most tokens that the input comes to.
    fn input_tokens(&self, input: &InputBound) -> Result<u64, CeilingError> {
        let window_bounds = |what: &str| {
            self.context().ok_or_else(|| {
                CeilingError::Unbounded(format!(
                    "{what} for a model whose context window is not known"
                ))
            })
        };
        if let Some(why) = &input.unbounded {
            return Err(CeilingError::Unbounded(why.clone()));
        }
        let prompts = input.prompts.max(1);
        if input.searches > 0 {
            // each search's results are a prompt again
            return Ok(window_bounds("a web search")?
                .saturating_mul(input.searches.saturating_add(prompts)));
        }
        if input.documents > 0 {
            return Ok(window_bounds("a document")?.saturating_mul(prompts));
        }
        let windows = self
            .context()
            .map(|context| context.saturating_mul(prompts));
        Ok(self.counted_tokens(input).min(windows.unwrap_or(u64::MAX)))
    }

    fn counted_tokens(&self, input: &InputBound) -> u64 {
        let image_tokens = self
            .row()
            .and_then(|row| row.image_tokens)
            .unwrap_or(IMAGE_TOKENS);
        let tools = if input.tools > 0 {
            input
                .tools
                .saturating_mul(TOOL_TOKENS)
                .saturating_add(TOOL_PREAMBLE_TOKENS)
        } else {
            0
        };
        input
            .text_bytes
            .saturating_add(input.images.saturating_mul(image_tokens))
            .saturating_add(tools)
    }

    /// The dearest rates over every tier and context band that the call could come under.
    fn dearest(&self, tokens: u64, audio: bool, tier_asked: Option<&str>) -> HighestRates {
        let mut dearest = HighestRates::default();
        match self {
            Price::Sheet(row) => row
                .reachable(tokens)
                .flat_map(|card| Tier::possible(tier_asked).map(|tier| card.at(tier)))
                .for_each(|rates| dearest.consider(rates, audio)),
            Price::Fixed { input, output } => {
                dearest.consider(&Rates::fixed(*input, *output), audio)
            }
            Price::Free | Price::Unknown => {}
        }
        dearest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::usage::Usage;
    use crate::price::Sheet;

    fn price(vendor: &str, model: &str) -> Price {
        Price::Sheet(Sheet::embedded().find(vendor, model).expect(model))
    }

    fn text(text_bytes: u64) -> InputBound {
        InputBound {
            text_bytes,
            ..InputBound::default()
        }
    }

    fn usd(ceiling: Result<Money, CeilingError>) -> String {
        ceiling.expect("a ceiling").to_string()
    }

    #[test]
    fn input_is_billed_once_and_output_per_choice() {
        let gpt = price("openai", "gpt-5.1");
        assert_eq!(usd(gpt.ceiling(&text(1_000), 100, 1, None)), "0.00225");
        assert_eq!(usd(gpt.ceiling(&text(1_000), 100, 3, None)), "0.00425");
        assert_eq!(usd(gpt.input_ceiling(&text(1_000), None)), "0.00125");
        assert_eq!(
            usd(gpt.ceiling(&text(1_000), 100, 1, Some("auto"))),
            "0.0045"
        );
        assert_eq!(
            usd(gpt.ceiling(&text(1_000), 100, 1, Some("priority"))),
            "0.0045"
        );
        assert_eq!(
            usd(gpt.ceiling(&text(1_000), 100, 1, Some("flex"))),
            "0.00225",
            "a full tier falls back to the base"
        );
        assert_eq!(
            usd(gpt.input_ceiling(&text(u64::MAX), None)),
            "0.34",
            "the context window bounds it"
        );
        let claude = price("anthropic", "claude-haiku-4-5");
        assert_eq!(
            usd(claude.input_ceiling(&text(1_000), None)),
            "0.002",
            "all of it may be written to the cache for an hour"
        );
    }

    #[test]
    fn each_text_to_embed_has_the_whole_window_and_no_output() {
        let small = price("openai", "text-embedding-3-small");
        let texts = |prompts| InputBound {
            text_bytes: 100_000,
            prompts,
            ..InputBound::default()
        };
        assert_eq!(
            usd(small.ceiling(&texts(1), 0, 1, None)),
            "0.00016382",
            "8191 tokens"
        );
        assert_eq!(
            usd(small.ceiling(&texts(3), 500, 1, None)),
            "0.00049146",
            "three times as many, and no output"
        );
        assert_eq!(
            usd(small.ceiling(&texts(40), 0, 1, None)),
            "0.002",
            "but never more than there are bytes"
        );
    }

    #[test]
    fn media_and_tools_have_ceilings_of_their_own() {
        let gpt = price("openai", "gpt-5.1");
        let images = |images| InputBound {
            images,
            ..InputBound::default()
        };
        assert_eq!(usd(gpt.input_ceiling(&images(2), None)), "0.03125");
        assert_eq!(
            usd(price("openai", "gpt-4o-mini").input_ceiling(&images(2), None)),
            "0.0144507"
        );
        let tools = InputBound {
            tools: 2,
            ..InputBound::default()
        };
        assert_eq!(usd(gpt.input_ceiling(&tools, None)), "0.00325");
        let documents = InputBound {
            documents: 1,
            ..InputBound::default()
        };
        assert_eq!(usd(gpt.input_ceiling(&documents, None)), "0.34");
        let searches = InputBound {
            searches: 2,
            ..InputBound::default()
        };
        assert_eq!(
            usd(gpt.input_ceiling(&searches, None)),
            "1.04",
            "3 × 272,000 tokens and two fees"
        );
        let audio = InputBound {
            audio: true,
            ..text(1_000)
        };
        assert_eq!(
            usd(price("openai", "gpt-audio").input_ceiling(&audio, None)),
            "0.032"
        );
        assert_eq!(
            usd(price("openai", "gpt-audio").input_ceiling(&text(1_000), None)),
            "0.0025"
        );
    }

    #[test]
    fn a_model_that_makes_images_may_answer_with_nothing_else() {
        let image_model = price("gemini", "gemini-2.5-flash-image");
        assert_eq!(
            usd(image_model.ceiling(&text(100), 1_290, 1, None)),
            "0.03873",
            "100 × 0.3 + 1290 × 30"
        );
        let room = Money::from_pico(38_730_000_000);
        assert_eq!(
            image_model.affordable_output(&text(100), 1, None, room),
            Ok(1_290)
        );
        assert_eq!(
            usd(price("gemini", "gemini-2.5-flash").ceiling(&text(100), 1_290, 1, None)),
            "0.003255"
        );
    }

    #[test]
    fn what_nothing_bounds_has_no_ceiling() {
        let fixed = Price::Fixed {
            input: 1,
            output: 1,
        };
        for bound in [
            InputBound {
                documents: 1,
                ..InputBound::default()
            },
            InputBound {
                searches: 1,
                ..InputBound::default()
            },
            InputBound {
                unbounded: Some("file id".to_owned()),
                ..InputBound::default()
            },
        ] {
            assert!(
                matches!(
                    fixed.ceiling(&bound, 1, 1, None),
                    Err(CeilingError::Unbounded(_))
                ),
                "{bound:?}"
            );
            assert_eq!(Price::Free.ceiling(&bound, 1, 1, None), Ok(Money::ZERO));
            assert_eq!(
                Price::Unknown.ceiling(&bound, 1, 1, None),
                Err(CeilingError::Unpriced)
            );
        }
        assert_eq!(
            price("gemini", "gemini-exp-1206").input_ceiling(&text(1), None),
            Err(CeilingError::Unpriced)
        );
    }

    #[test]
    fn the_room_that_is_left_buys_output() {
        let gpt = price("openai", "gpt-5.1");
        let room = |pico| gpt.affordable_output(&text(1_000), 2, None, Money::from_pico(pico));
        assert_eq!(room(1_250_000_000 + 7 * 20_000_000), Ok(7));
        assert_eq!(room(1_250_000_000 + 7 * 20_000_000 - 1), Ok(6));
        assert_eq!(
            (room(1_250_000_000), room(0), room(-1)),
            (Ok(0), Ok(0), Ok(0))
        );
        assert_eq!(
            Price::Free.affordable_output(&text(1), 1, None, Money::ZERO),
            Ok(u64::MAX)
        );
        assert_eq!(
            gpt.affordable_output(&text(0), 0, None, Money::MAX),
            Ok(u64::MAX)
        );
    }

    #[test]
    fn the_largest_counts_saturate() {
        let fixed = Price::Fixed {
            input: u64::MAX,
            output: u64::MAX,
        };
        assert_eq!(
            fixed.ceiling(&text(u64::MAX), u64::MAX, u64::MAX, None),
            Ok(Money::MAX)
        );
        let all = InputBound {
            images: u64::MAX,
            tools: u64::MAX,
            searches: u64::MAX,
            audio: true,
            ..text(u64::MAX)
        };
        assert!(
            price("openai", "gpt-5.1")
                .ceiling(&all, u64::MAX, u64::MAX, Some("auto"))
                .is_ok()
        );
    }

    /// xorshift: the same cases on every run.
    struct Seeded(u64);

    impl Seeded {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        /// 0 to `most`, its ends included, both often.
        fn upto(&mut self, most: u64) -> u64 {
            match self.next() % 4 {
                0 => 0,
                1 => most,
                _ => self.next() % most.saturating_add(1).max(1),
            }
        }

        fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
            choices[(self.next() % choices.len() as u64) as usize]
        }

        /// Input and output as an upstream may report them, split in every way over the classes.
        fn usage(&mut self, in_most: u64, out_most: u64, bound: &InputBound) -> Usage {
            let mut left = self.upto(in_most);
            let mut part = |seeded: &mut Seeded| {
                let part = seeded.upto(left);
                left -= part;
                part
            };
            let mut usage = Usage {
                cache_read: part(self),
                cache_write_5m: part(self),
                cache_write_1h: part(self),
                cache_write_other: part(self),
                ..Usage::default()
            };
            usage.uncached_in = left;
            usage.audio_in = if bound.audio { self.upto(in_most) } else { 0 };
            usage.audio_cached = if bound.audio { self.upto(in_most) } else { 0 };
            usage.out_total = self.upto(out_most);
            usage.reasoning = self.upto(out_most);
            usage.audio_out = self.upto(out_most);
            usage.image_out = self.upto(out_most);
            usage.web_searches = self.upto(bound.searches);
            usage
        }

        fn bound(&mut self) -> InputBound {
            InputBound {
                text_bytes: self.upto(600_000),
                images: self.one_of(&[0, 0, 1, 7]),
                documents: self.one_of(&[0, 0, 0, 1]),
                audio: self.one_of(&[false, true]),
                searches: self.one_of(&[0, 0, 0, 3]),
                tools: self.one_of(&[0, 1, 20]),
                prompts: self.one_of(&[0, 1, 3]),
                unbounded: None,
            }
        }
    }

    const TIERS: [Option<&str>; 7] = [
        None,
        Some("auto"),
        Some("default"),
        Some("flex"),
        Some("priority"),
        Some("batch"),
        Some("x"),
    ];

    /// Every row of the sheet that a call can come under, and what the operator can say instead.
    fn all_prices() -> Vec<Price> {
        let sheet = Sheet::embedded();
        let vendors = [
            "anthropic",
            "azure",
            "bedrock",
            "cohere",
            "gemini",
            "groq",
            "mistral",
            "openai",
            "together",
        ];
        let rows = vendors.iter().flat_map(|vendor| sheet.models(vendor));
        let mut prices: Vec<Price> = rows.map(|row| Price::Sheet(row.clone())).collect();
        prices.extend([
            Price::Free,
            Price::Fixed {
                input: 3,
                output: 7,
            },
        ]);
        prices
    }

    #[test]
    fn no_usage_within_its_bounds_costs_more_than_the_ceiling() {
        let prices = all_prices();
        let mut seeded = Seeded(0x9E37_79B9_7F4A_7C15);
        let mut checked = 0;
        for round in 0..prices.len() * TIERS.len() * 8 {
            let (price, asked) = (
                &prices[round % prices.len()],
                TIERS[round / prices.len() % TIERS.len()],
            );
            let (bound, cap, choices) = (
                seeded.bound(),
                seeded.upto(200_000),
                seeded.one_of(&[1, 1, 5]),
            );
            let Ok(ceiling) = price.ceiling(&bound, cap, choices, asked) else {
                continue;
            };
            let tokens = price.input_tokens(&bound).unwrap_or(bound.text_bytes);
            let served = match asked {
                Some("auto") => seeded.one_of(&[None, Some("priority"), Some("default")]),
                asked => seeded.one_of(&[None, asked, Some("standard"), Some("never heard of")]),
            };
            let mut usage = seeded.usage(tokens, cap * choices, &bound);
            usage.service_tier = served.map(str::to_owned);
            let bill = price
                .cost(&usage, asked)
                .expect("what has a ceiling has a price");
            assert!(
                bill.total <= ceiling,
                "{price:?} {bound:?} {cap} × {choices} {asked:?}: {bill:?} over {ceiling}"
            );
            assert_eq!(
                bill.lines.iter().map(|line| line.amount()).sum::<Money>(),
                bill.total
            );
            checked += 1;
        }
        assert!(checked > 30_000, "{checked}");
    }

    #[test]
    fn a_larger_request_never_has_a_smaller_ceiling() {
        let prices = all_prices();
        let mut seeded = Seeded(11);
        for round in 0..prices.len() * TIERS.len() * 2 {
            let (price, asked) = (
                &prices[round % prices.len()],
                TIERS[round / prices.len() % TIERS.len()],
            );
            let (bound, cap, choices) =
                (seeded.bound(), seeded.upto(200_000), seeded.one_of(&[1, 5]));
            let larger = InputBound {
                text_bytes: bound.text_bytes + seeded.upto(600_000),
                images: bound.images + seeded.upto(3),
                audio: bound.audio || seeded.one_of(&[false, true]),
                searches: bound.searches + seeded.upto(2),
                tools: bound.tools + seeded.upto(5),
                ..bound.clone()
            };
            let ceiling =
                |bound: &InputBound, cap, choices| price.ceiling(bound, cap, choices, asked);
            let (Ok(small), Ok(large)) = (
                ceiling(&bound, cap, choices),
                ceiling(&larger, cap + seeded.upto(9), choices + seeded.upto(2)),
            ) else {
                continue;
            };
            assert!(
                small <= large,
                "{price:?} {asked:?}: {small} for {bound:?}, {large} for {larger:?}"
            );
        }
    }

    #[test]
    fn what_the_room_affords_fits_the_room_and_one_token_more_does_not() {
        let gpt = price("openai", "gpt-5.5");
        let mut seeded = Seeded(7);
        for _ in 0..2_000 {
            let (bound, choices) = (seeded.bound(), seeded.one_of(&[1, 4]));
            let room = Money::from_pico(i128::from(seeded.upto(20_000_000_000_000)));
            let cap = gpt
                .affordable_output(&bound, choices, None, room)
                .expect("a price");
            let ceiling = |cap| gpt.ceiling(&bound, cap, choices, None).expect("a ceiling");
            assert!(cap == 0 || ceiling(cap) <= room);
            assert!(ceiling(cap + 1) > room);
        }
    }
}
