//! Lookup of a request in the cache of answers, as lines of `gatekeeper requests explain`; and the words in which its question differs from
//! the nearest kept one, which only readers of captured calls get.

use serde_json::Value;

use crate::cli::admin::AdminClient;
use crate::cli::failure::Failure;
use crate::cli::values::{cell, rows};

/// Renders the lookup of an attempt; nothing where the cache is off.
pub(super) fn render_lookup(attempt: &Value) -> String {
    let cache = &attempt["cache"];
    let Some(outcome) = cache["outcome"].as_str() else {
        return String::new();
    };
    let details = match outcome {
        "exact" | "semantic" => hit_details(attempt),
        "miss" => miss_details(cache),
        _ => cache["reason"].as_str().map(str::to_owned),
    };
    match details {
        Some(details) => format!("  cache    {outcome}: {details}\n"),
        None => format!("  cache    {outcome}\n"),
    }
}

fn hit_details(attempt: &Value) -> Option<String> {
    let cache = &attempt["cache"];
    let similarity = cache["similarity"]
        .as_str()
        .map_or(String::new(), |similarity| format!(" at {similarity}"));
    Some(format!(
        "{}{similarity}, {} s old, saved ${}",
        cell(&cache["entry"]),
        cell(&cache["age_s"]),
        cell(&attempt["saved_cost_usd"])
    ))
}

fn miss_details(cache: &Value) -> Option<String> {
    let reason = cache["reason"].as_str()?;
    Some(match cache["entry"].as_str() {
        Some(entry) => {
            let similarity = cell(&cache["similarity"]);
            format!("nearest {entry} at {similarity}, refused by `{reason}`")
        }
        None => format!("not compared with other questions ({reason})"),
    })
}

/// Asks the server for the words in which the question of a request differs from that of the nearest entry.
pub(super) async fn difference(admin: &AdminClient, request: &Value) -> Result<Value, Failure> {
    let refused = rows(&request["attempts"]).iter().find_map(|attempt| {
        let cache = &attempt["cache"];
        Some((cache["own_entry"].as_str()?, cache["entry"].as_str()?))
    });
    let Some((own, nearest)) = refused else {
        return Err(Failure::runtime(
            "no refused candidate in this record; a route with `cache = \"semantic\"` notes one for a miss whose answer is kept",
        ));
    };
    let path = format!("/v1/cache/difference?entry={own}&other={nearest}");
    admin.get(&path).await
}

pub(super) fn render_difference(difference: &Value) -> String {
    let words = |side: &Value| match rows(side) {
        [] => "nothing more".to_owned(),
        words => words.iter().map(cell).collect::<Vec<_>>().join(" "),
    };
    format!(
        "\n  words only in this question    {}\n  words only in the nearest one  {}\n",
        words(&difference["entry"]),
        words(&difference["other"])
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lookup_is_one_line_with_its_reason() {
        let miss = json!({"outcome": "miss", "entry": "ce_1", "similarity": "0.981", "reason": "number", "own_entry": "ce_2"});
        let hit =
            json!({"outcome": "semantic", "entry": "ce_1", "similarity": "0.981", "age_s": 5});
        for (attempt, line) in [
            (json!({"cache": null}), ""),
            (
                json!({"cache": miss}),
                "  cache    miss: nearest ce_1 at 0.981, refused by `number`\n",
            ),
            (
                json!({"cache": {"outcome": "miss", "reason": "embedder_busy"}}),
                "  cache    miss: not compared with other questions (embedder_busy)\n",
            ),
            (json!({"cache": {"outcome": "miss"}}), "  cache    miss\n"),
            (
                json!({"cache": hit, "saved_cost_usd": "0.01"}),
                "  cache    semantic: ce_1 at 0.981, 5 s old, saved $0.01\n",
            ),
            (
                json!({"cache": {"outcome": "bypass", "reason": "choices"}}),
                "  cache    bypass: choices\n",
            ),
        ] {
            assert_eq!(render_lookup(&attempt), line);
        }
    }

    #[test]
    fn difference_names_the_words_of_each_side() {
        let text = render_difference(&json!({"entry": ["50"], "other": []}));
        assert!(text.contains("this question    50\n"), "{text}");
        assert!(text.contains("nearest one  nothing more\n"), "{text}");
    }
}
