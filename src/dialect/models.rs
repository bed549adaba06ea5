//! List of models in two shapes: OpenAI's complete list, Anthropic's pages. Keeps the order of its entries; must never omit
//! `lifecycle`, without which Anthropic's SDK 2 rejects the list.

use serde::Serialize;

use crate::dialect::name::Dialect;
use crate::dialect::wire::json::to_json;

/// A model that the caller may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelEntry {
    pub id: String,
    /// seconds since 1970
    pub created_s: u64,
    pub owned_by: String,
}

/// Prefixes of the names that Claude Code's picker shows.
const PICKED: [&str; 2] = ["claude", "anthropic"];
const ALIAS: &str = "anthropic/";

/// Alias under which the picker shows a model; `None` for a name that it shows unchanged.
pub fn picker_alias(name: &str) -> Option<String> {
    let is_picked = PICKED.iter().any(|begin| {
        name.get(..begin.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(begin))
    });
    (!is_picked).then(|| format!("{ALIAS}{name}"))
}

/// The name behind a picker alias, if it is one.
pub fn behind_alias(asked: &str) -> Option<&str> {
    asked
        .strip_prefix(ALIAS)
        .filter(|name| picker_alias(name).is_some())
}

/// Requested part of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelPage<'q> {
    pub limit: usize,
    /// entries after this one
    pub after_id: Option<&'q str>,
    /// the last entries before this one
    pub before_id: Option<&'q str>,
}

impl Default for ModelPage<'_> {
    /// Anthropic's default of 20.
    fn default() -> Self {
        ModelPage {
            limit: 20,
            after_id: None,
            before_id: None,
        }
    }
}

#[derive(Serialize)]
struct OpenAiList<'e> {
    object: &'static str,
    data: Vec<OpenAiModel<'e>>,
}

#[derive(Serialize)]
struct OpenAiModel<'e> {
    id: &'e str,
    object: &'static str,
    created: u64,
    owned_by: &'e str,
}

#[derive(Serialize)]
struct AnthropicList<'e> {
    data: Vec<AnthropicModel<'e>>,
    has_more: bool,
    first_id: Option<&'e str>,
    last_id: Option<&'e str>,
}

#[derive(Serialize)]
struct AnthropicModel<'e> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'e str,
    display_name: &'e str,
    created_at: String,
    lifecycle: &'static str,
}

/// All models in OpenAI's shape.
pub fn models_list(entries: &[ModelEntry]) -> String {
    to_json(&OpenAiList {
        object: "list",
        data: entries.iter().map(openai).collect(),
    })
}

/// One model in the shape of the client's dialect.
pub fn model_object(entry: &ModelEntry, dialect: Dialect) -> String {
    match dialect {
        Dialect::Messages => to_json(&anthropic(entry)),
        _ => to_json(&openai(entry)),
    }
}

fn openai(entry: &ModelEntry) -> OpenAiModel<'_> {
    OpenAiModel {
        id: &entry.id,
        object: "model",
        created: entry.created_s,
        owned_by: &entry.owned_by,
    }
}

/// One page in Anthropic's shape; empty after or before an unknown model.
pub fn models_page(entries: &[ModelEntry], page: ModelPage<'_>) -> String {
    let position = |id: &str| entries.iter().position(|entry| entry.id == id);
    let (shown, has_more) = match (page.after_id, page.before_id) {
        (None, Some(id)) => {
            let before = &entries[..position(id).unwrap_or(0)];
            let first = before.len().saturating_sub(page.limit);
            (&before[first..], first > 0)
        }
        (after, _) => {
            let first = after.map_or(0, |id| {
                position(id).map_or(entries.len(), |place| place + 1)
            });
            let behind = &entries[first..];
            let count = behind.len().min(page.limit);
            (&behind[..count], count < behind.len())
        }
    };
    to_json(&AnthropicList {
        has_more,
        first_id: shown.first().map(|entry| entry.id.as_str()),
        last_id: shown.last().map(|entry| entry.id.as_str()),
        data: shown.iter().map(anthropic).collect(),
    })
}

fn anthropic(entry: &ModelEntry) -> AnthropicModel<'_> {
    let seconds = i64::try_from(entry.created_s).unwrap_or(0);
    let created_at = jiff::Timestamp::from_second(seconds)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_string();
    AnthropicModel {
        kind: "model",
        id: &entry.id,
        display_name: &entry.id,
        created_at,
        lifecycle: "active",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(ids: &[&str]) -> Vec<ModelEntry> {
        let entry = |id: &&str| ModelEntry {
            id: (*id).to_owned(),
            created_s: 1_767_225_600,
            owned_by: "openai".to_owned(),
        };
        ids.iter().map(entry).collect()
    }

    #[test]
    fn openai_list_has_all_models() {
        assert_eq!(
            models_list(&entries(&["a"])),
            r#"{"object":"list","data":[{"id":"a","object":"model","created":1767225600,"owned_by":"openai"}]}"#
        );
        assert_eq!(models_list(&[]), r#"{"object":"list","data":[]}"#);
    }

    #[test]
    fn anthropic_page_has_its_shape() {
        assert_eq!(
            models_page(&entries(&["a"]), ModelPage::default()),
            concat!(
                r#"{"data":[{"type":"model","id":"a","display_name":"a","created_at":"2026-01-01T00:00:00Z","lifecycle":"active"}],"#,
                r#""has_more":false,"first_id":"a","last_id":"a"}"#
            )
        );
        assert_eq!(
            models_page(&[], ModelPage::default()),
            r#"{"data":[],"has_more":false,"first_id":null,"last_id":null}"#
        );
    }

    #[test]
    fn b08_pages_cover_all_models_in_both_directions() {
        let entries = entries(&["a", "b", "c"]);
        let end = |page: ModelPage<'_>| {
            models_page(&entries, page)
                .split_once("\"has_more\"")
                .expect("a page")
                .1
                .to_owned()
        };
        let page = |limit| ModelPage {
            limit,
            ..ModelPage::default()
        };
        for (page, expected) in [
            (page(1), r#":true,"first_id":"a","last_id":"a"}"#),
            (
                ModelPage {
                    after_id: Some("a"),
                    ..page(1)
                },
                r#":true,"first_id":"b","last_id":"b"}"#,
            ),
            (
                ModelPage {
                    after_id: Some("b"),
                    ..page(1)
                },
                r#":false,"first_id":"c","last_id":"c"}"#,
            ),
            (
                ModelPage {
                    after_id: Some("c"),
                    ..page(1)
                },
                r#":false,"first_id":null,"last_id":null}"#,
            ),
            (
                ModelPage {
                    after_id: Some("x"),
                    ..page(1)
                },
                r#":false,"first_id":null,"last_id":null}"#,
            ),
            (
                ModelPage {
                    before_id: Some("c"),
                    ..page(1)
                },
                r#":true,"first_id":"b","last_id":"b"}"#,
            ),
            (
                ModelPage {
                    before_id: Some("b"),
                    ..page(5)
                },
                r#":false,"first_id":"a","last_id":"a"}"#,
            ),
            (
                ModelPage {
                    before_id: Some("x"),
                    ..page(5)
                },
                r#":false,"first_id":null,"last_id":null}"#,
            ),
        ] {
            assert_eq!(end(page), expected, "{page:?}");
        }
    }
}
