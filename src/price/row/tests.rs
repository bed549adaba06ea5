//! Rows of the sheet: capabilities, missing prices, places.

use super::*;
use crate::price::Sheet;

fn row(rates: &str, rest: &str) -> Row {
    let json = format!(
        r#"{{"provider":"v","model":"m","mode":"chat","context":1000,"max_output":100,"rates":{rates},
        "capabilities":["reasoning"],"lacks":["vision"]{rest}}}"#
    );
    serde_json::from_str(&json).expect(&json)
}

/// Input rate in USD per million tokens with the factor applied, and whether it is known.
fn input(row: &Row, place: Option<&str>) -> (u64, bool) {
    let quote = row.quote(1, place, &ServiceLevel::STANDARD);
    let rate = quote.factor.rate(quote.rates.rate(TokenClass::Input));
    (rate / 1_000, quote.is_known)
}

#[test]
fn row_with_zero_or_missing_rate_is_unpriced() {
    for rates in [
        r#"{}"#,
        r#"{"input":"0","output":"0"}"#,
        r#"{"output":"7.5"}"#,
        r#"{"input":"0.14","output":"0"}"#,
    ] {
        assert!(!row(rates, "").is_priced(), "{rates}");
    }
    assert!(row(r#"{"input":"1","output":"2"}"#, "").is_priced());
    for (rates, priced) in [
        (r#"{"input":"1","output":"0"}"#, true),
        (r#"{"input":"1"}"#, true),
        (r#"{"output":"1"}"#, false),
    ] {
        let json = format!(r#"{{"provider":"v","model":"m","mode":"embedding","rates":{rates}}}"#);
        assert_eq!(
            serde_json::from_str::<Row>(&json)
                .expect("a row")
                .is_priced(),
            priced,
            "{rates}"
        );
    }
}

#[test]
fn capability_is_yes_no_or_unknown() {
    let row = row("{}", "");
    assert!(row.supports_reasoning() && !row.has_capability("tools"));
    for (name, support) in [
        ("reasoning", Support::Yes),
        ("vision", Support::No),
        ("tools", Support::Unknown),
    ] {
        assert_eq!(row.capability(name), support, "{name}");
    }
}

#[test]
fn place_selects_its_own_whole_card() {
    let regional = row(
        r#"{"input":"1","output":"2"}"#,
        r#","service_tiers":{"priority":{"input":"2","output":"4"}},"regions_at_base":["us-east-2"],
        "regions":{"eu-west-2":{"rates":{"input":"1.5","output":"3"}},"sa-east-1":{"rates":{"input":"1.2","output":"2.4"}},
            "us-gov-west-1":{"rates":{"input":"6","output":"9"}}}"#,
    );
    for (place, expected) in [
        (None, (1_000, true)),
        (Some("eu-west-2"), (1_500, true)),
        (Some("EU-WEST-2"), (1_500, true)),
        (Some("us-east-2"), (1_000, true)),
        (Some("us-gov-west-1"), (6_000, true)),
        (Some("global"), (1_000, true)),
        (Some("eu-north-1"), (1_500, false)),
        (Some("us-gov-east-1"), (6_000, false)),
    ] {
        assert_eq!(input(&regional, place), expected, "{place:?}");
    }
    let priority = ServiceLevel::parse("priority");
    assert!(regional.has_rates_for(&priority, None));
    assert!(
        !regional.has_rates_for(&priority, Some("eu-west-2")),
        "nothing is inherited from the base card"
    );
}

#[test]
fn place_of_row_with_government_places_only_has_the_base_card() {
    let row = row(
        r#"{"input":"3","output":"15"}"#,
        r#","regions":{"us-gov-west-1":{"rates":{"input":"3.6","output":"18"}}}"#,
    );
    assert_eq!(input(&row, Some("eu-central-1")), (3_000, true));
    assert_eq!(input(&row, Some("us-gov-east-1")), (3_600, false));
}

#[test]
fn residency_multiplies_where_the_model_lists_a_factor() {
    let listed = row(
        r#"{"input":"10","output":"20"}"#,
        r#","factors":{"region_eu":"1.1","fedramp":"1.2"}"#,
    );
    assert_eq!(input(&listed, Some("eu")), (11_000, true));
    assert_eq!(input(&listed, Some("gov")), (12_000, true));
    assert_eq!(input(&listed, Some("us")), (10_000, true));
    let unlisted = row(r#"{"input":"10","output":"20"}"#, "");
    assert_eq!(input(&unlisted, Some("eu")), (10_000, true));
}

#[test]
fn row_priced_at_places_only_costs_the_dearest_without_a_place() {
    let row = row(
        "{}",
        r#","regions":{"a":{"rates":{"input":"1","output":"2"}},"b":{"rates":{"input":"2","output":"3"}}}"#,
    );
    assert!(row.is_priced());
    assert_eq!(input(&row, None), (2_000, false));
    assert_eq!(input(&row, Some("a")), (1_000, true));
}

#[test]
fn place_of_the_sheet_selects_rates_and_profiles_have_their_own() {
    let sheet = Sheet::embedded();
    let find = |vendor, model| sheet.find(vendor, model).expect(model);
    let mini = find("azure", "gpt-4.1-mini");
    assert_eq!(input(&mini, None), (400, true));
    assert_eq!(input(&mini, Some("eu")), (440, true));
    let bare = find("bedrock", "amazon.nova-2-lite-v1:0");
    let profile = find("bedrock", "eu.amazon.nova-2-lite-v1:0");
    assert_eq!(profile.profile_of.as_deref(), Some(bare.model.as_str()));
    assert!(input(&profile, Some("eu-west-1")).0 > input(&bare, None).0);
    let doubtful = find("bedrock", "anthropic.claude-opus-5");
    assert!(!doubtful.doubtful.is_empty());
    assert_eq!(
        input(&doubtful, Some("eu-west-1")),
        (5_500, true),
        "the dearer of two public figures"
    );
}

#[test]
fn tool_fee_follows_model_and_vendor() {
    let sheet = Sheet::embedded();
    let usd = |vendor, model, tool| {
        let row = sheet.find(vendor, model).expect(model);
        row.fee(tool, None).map(|fee| fee.pico / 1_000_000)
    };
    for (vendor, model, tool, micro_usd) in [
        ("openai", "gpt-4.1", ServerTool::WebSearch, Some(10_000)),
        (
            "openai",
            "gpt-4.1",
            ServerTool::WebSearchPreview,
            Some(25_000),
        ),
        (
            "openai",
            "gpt-5.1",
            ServerTool::WebSearchPreview,
            Some(10_000),
        ),
        ("openai", "gpt-5.1", ServerTool::FileSearch, Some(2_500)),
        (
            "openai",
            "gpt-5.1",
            ServerTool::CodeInterpreter,
            Some(30_000),
        ),
        ("azure", "gpt-4.1-mini", ServerTool::WebSearch, Some(14_000)),
        (
            "anthropic",
            "claude-haiku-4-5",
            ServerTool::WebSearch,
            Some(10_000),
        ),
        (
            "gemini",
            "gemini-2.5-flash",
            ServerTool::GoogleSearch,
            Some(35_000),
        ),
        (
            "mistral",
            "mistral-large-latest",
            ServerTool::WebSearch,
            None,
        ),
        (
            "openai",
            "gpt-4o-search-preview",
            ServerTool::WebSearchEachCall,
            Some(25_000),
        ),
    ] {
        assert_eq!(usd(vendor, model, tool), micro_usd, "{model} {tool:?}");
    }
}
