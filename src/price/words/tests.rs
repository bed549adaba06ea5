//! Costs in words: place, speed, geography, fees of tools, lifetime of cache writes.

use crate::domain::cost_line::CostLine;
use crate::domain::money::Money;
use crate::domain::server_tool::ServerTool;
use crate::domain::usage::{CacheLifetime, Usage};
use crate::price::{Bill, Price, PricingContext, Sheet};

fn price(vendor: &str, model: &str) -> Price {
    Price::Sheet(Sheet::embedded().find(vendor, model).expect(model))
}

fn million() -> Usage {
    Usage {
        uncached_in: 1_000_000,
        ..Usage::default()
    }
}

/// Total and lines in words.
fn explained(price: &Price, usage: &Usage, context: PricingContext<'_>) -> (String, Vec<String>) {
    let bill = price.cost(usage, context).expect("a price");
    let words = bill.lines.iter().map(CostLine::to_string);
    (bill.total.to_string(), words.collect())
}

#[test]
fn cost_follows_the_place_of_the_deployment() {
    let at = |place| PricingContext {
        place,
        ..PricingContext::default()
    };
    let azure = price("azure", "gpt-4.1-mini");
    for (place, usd) in [(None, "0.4"), (Some("eu"), "0.44"), (Some("US"), "0.44")] {
        assert_eq!(explained(&azure, &million(), at(place)).0, usd, "{place:?}");
    }
    let resident = price("openai", "gpt-5.4");
    let (usd, words) = explained(&resident, &million(), at(Some("eu")));
    assert_eq!(usd, "5.5", "2 × 2.5 above 272,000 tokens, × 1.1");
    assert_eq!(
        words,
        [
            "1000000 input: $0.000005 per token × 1.1 = $5.5 (standard tier of gpt-5.4 in eu above 272000 tokens)"
        ]
    );
}

#[test]
fn cost_multiplies_speed_and_geography_but_no_fee() {
    let usage = Usage {
        web_searches: 1,
        service_tier: Some("fast+inference_geo=us".to_owned()),
        ..million()
    };
    let opus = price("anthropic", "claude-opus-5");
    let (usd, words) = explained(&opus, &usage, None.into());
    assert_eq!(usd, "11.01", "5 × 2 × 1.1 and a cent");
    assert!(words[0].contains("× 2.2 = $11 (fast tier"), "{words:?}");
    assert!(
        words[1].contains("1 web_search: $0.01 per call = $0.01"),
        "{words:?}"
    );
}

#[test]
fn fee_follows_the_tool_that_searched() {
    let usage = Usage {
        web_searches: 2,
        ..Usage::default()
    };
    let with = |price: &Price, tool| {
        let context = PricingContext {
            search_tool: tool,
            ..PricingContext::default()
        };
        explained(price, &usage, context).0
    };
    let gpt = price("openai", "gpt-4.1");
    assert_eq!(with(&gpt, Some(ServerTool::WebSearch)), "0.02");
    assert_eq!(with(&gpt, Some(ServerTool::WebSearchPreview)), "0.05");
    assert_eq!(with(&gpt, None), "0.05", "the dearest search");
    let gemini = |model| with(&price("gemini", model), Some(ServerTool::GoogleSearch));
    assert_eq!(gemini("gemini-2.5-flash"), "0.035", "once for a prompt");
    assert_eq!(gemini("gemini-3.8-flash"), "0.028", "for each query");
    let mistral = price("mistral", "mistral-medium-latest");
    let bill = mistral.cost(&usage, None).expect("a price");
    assert!(bill.rates_estimated && bill.total > Money::ZERO, "{bill:?}");
}

#[test]
fn search_model_pays_for_each_request() {
    let search = price("openai", "gpt-4o-search-preview");
    let usage = Usage {
        uncached_in: 1,
        ..Usage::default()
    };
    let bill = search.cost(&usage, None).expect("a price");
    let searches = bill.lines.iter().filter(|line| line.class == "web_search");
    assert_eq!(
        searches.map(CostLine::amount).sum::<Money>().to_string(),
        "0.025"
    );
    assert_eq!(search.cost(&Usage::default(), None), Ok(Bill::default()));
}

#[test]
fn other_tools_are_charged_by_use() {
    let gpt = price("openai", "gpt-5.1");
    let usage = Usage {
        tools: vec![
            (ServerTool::FileSearch, 4),
            (ServerTool::CodeInterpreter, 1),
        ],
        ..Usage::default()
    };
    assert_eq!(explained(&gpt, &usage, None.into()).0, "0.04");
}

#[test]
fn cache_write_without_lifetime_costs_the_requested_one() {
    let usage = Usage {
        cache_write_other: 1_000_000,
        ..Usage::default()
    };
    let opus = price("anthropic", "claude-opus-5");
    for (cache_lifetime, usd) in [
        (CacheLifetime::Shortest, "6.25"),
        (CacheLifetime::Hour, "10"),
    ] {
        let context = PricingContext {
            cache_lifetime,
            ..PricingContext::default()
        };
        assert_eq!(explained(&opus, &usage, context).0, usd);
    }
}
