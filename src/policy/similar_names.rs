//! Nearest known name to a mistyped one, by edit distance. Pure; the caller passes only names that may be shown.

/// Edits that still count as a typing mistake, at most; short names allow fewer.
const EDITS_MAX: usize = 3;
/// Letters of a name per edit.
const CHARS_PER_EDIT: usize = 4;

/// Returns the name with the fewest edits, if that many can be a mistake. Upper case and blanks around the name count nothing;
/// a vendor's name in front of a slash is left out where the rest alone is nearer.
pub fn closest<'n>(asked: &str, names: &[&'n str]) -> Option<&'n str> {
    let asked = asked.trim().to_lowercase();
    let bare = asked.split_once('/').map(|(_, bare)| bare);
    let asked: Vec<Vec<char>> = [Some(asked.as_str()), bare]
        .into_iter()
        .flatten()
        .map(|text| text.chars().collect())
        .collect();
    let edits = |name: &str| {
        let name: Vec<char> = name.to_lowercase().chars().collect();
        asked
            .iter()
            .filter_map(|asked| typing_mistakes(asked, &name))
            .min()
    };
    let near = names.iter().filter_map(|name| Some((edits(name)?, *name)));
    near.min().map(|(_, name)| name)
}

/// Edit distance of two names; `None` if it is too great for a mistake.
fn typing_mistakes(asked: &[char], name: &[char]) -> Option<usize> {
    let edits_max = (asked.len() / CHARS_PER_EDIT).min(EDITS_MAX);
    if asked.len().abs_diff(name.len()) > edits_max {
        return None;
    }
    Some(edit_distance(asked, name)).filter(|edits| *edits <= edits_max)
}

/// Levenshtein distance: insertions, deletions and substitutions.
fn edit_distance(one: &[char], other: &[char]) -> usize {
    // distances of the part of `one` read so far to each beginning of `other`
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (read, char_of_one) in one.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = read + 1;
        for (at, char_of_other) in other.iter().enumerate() {
            let substituted = diagonal + usize::from(char_of_one != char_of_other);
            diagonal = row[at + 1];
            row[at + 1] = substituted.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 5] = [
        "claude-sonnet-4-5",
        "gpt-5.1",
        "gpt-5.1-mini",
        "m-small",
        "o3",
    ];

    #[test]
    fn mistyped_name_finds_the_nearest() {
        for (asked, found) in [
            ("claude-sonet-4-5", Some("claude-sonnet-4-5")),
            ("cluade-sonnet-4.5", Some("claude-sonnet-4-5")),
            ("GPT-5.1", Some("gpt-5.1")),
            ("gpt5.1", Some("gpt-5.1")),
            ("gpt-5.1-mni", Some("gpt-5.1-mini")),
            (" m-small ", Some("m-small")),
            ("anthropic/claude-sonnet-4-5", Some("claude-sonnet-4-5")),
            ("m-large-enough", None),
            ("o4", None),
            ("llama", None),
            ("", None),
        ] {
            assert_eq!(closest(asked, &NAMES), found, "{asked}");
        }
        assert_eq!(closest("gpt-5.1", &[]), None);
    }

    #[test]
    fn edit_distance_counts_insertions_deletions_and_substitutions() {
        for (one, other, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("abc", "abd", 1),
            ("abc", "xabc", 1),
        ] {
            let chars = |text: &str| text.chars().collect::<Vec<char>>();
            assert_eq!(
                edit_distance(&chars(one), &chars(other)),
                edits,
                "{one} {other}"
            );
        }
    }
}
