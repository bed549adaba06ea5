//! Comparison of model names across vendors: a signature is valid for the model that made it, under all of its names.

/// The names, in any vendor's form, mean one model: `claude-sonnet-4-5`, `claude-sonnet-4-5-20250929`, `us.anthropic.claude-sonnet-4-5-20250929-v1:0`.
pub(in crate::dialect) fn is_same_model(one: &str, other: &str) -> bool {
    one == other || plain(one).is_some_and(|one| plain(other) == Some(one))
}

/// The name without region, vendor, date and version; `None` for a model that is not Anthropic's.
fn plain(name: &str) -> Option<&str> {
    let name = &name[name.find("claude")?..];
    let name = name.split_once(':').map_or(name, |(name, _)| name);
    let name = name
        .strip_suffix("-v1")
        .or_else(|| name.strip_suffix("-v2"))
        .unwrap_or(name);
    Some(match name.rsplit_once(['-', '@']) {
        Some((plain, date))
            if date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            plain
        }
        _ => name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_matches_all_its_names_and_no_other_model() {
        for (one, other, same) in [
            ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929", true),
            (
                "claude-sonnet-4-5",
                "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
                true,
            ),
            ("anthropic/claude-opus-5", "claude-opus-5", true),
            ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5", true),
            ("claude-sonnet-4-5", "claude-sonnet-4", false),
            ("claude-opus-4-5", "claude-sonnet-4-5", false),
            ("qwen3:8b", "qwen3:4b", false),
            ("qwen3:8b", "qwen3:8b", true),
            ("qwen3", "llama4", false),
        ] {
            assert_eq!(is_same_model(one, other), same, "{one} {other}");
        }
    }
}
