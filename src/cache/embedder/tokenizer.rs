//! WordPiece of BERT, uncased: text in, token ids out, equal to those of the reference tokenizer. Text is cleaned, set in lower case
//! without accents, cut at spaces, punctuation and Chinese characters, and each word becomes the longest pieces that the vocabulary
//! has. It must never fail on a text: a word without pieces is the unknown token.

use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory as _};

use super::vocabulary::Vocabulary;

const UNKNOWN: u16 = 100;
const START: u16 = 101;
const END: u16 = 102;
/// Tokens with a meaning of their own, which the reference tokenizer also finds in a text.
const SPECIAL: &[(&str, u16)] = &[
    ("[PAD]", 0),
    ("[UNK]", UNKNOWN),
    ("[CLS]", START),
    ("[SEP]", END),
    ("[MASK]", 103),
];
/// Longer words are unknown.
const WORD_CHARS_MAX: usize = 100;

/// Ids of a text between those of start and end; `None` if there are more than `count_max`, which is noticed without reading on.
pub fn tokenize(text: &str, vocabulary: &Vocabulary, count_max: usize) -> Option<Vec<u16>> {
    let mut ids = vec![START];
    let mut rest = text;
    loop {
        let special = next_special(rest);
        let plain = special.map_or(rest, |(at, _, _)| &rest[..at]);
        push_words(&normalize(plain), vocabulary, count_max, &mut ids);
        if ids.len() >= count_max {
            break;
        }
        let Some((at, word, id)) = special else { break };
        ids.push(id);
        rest = &rest[at + word.len()..];
    }
    ids.push(END);
    (ids.len() <= count_max).then_some(ids)
}

/// Position, text and id of the first special token.
fn next_special(text: &str) -> Option<(usize, &'static str, u16)> {
    let found = SPECIAL
        .iter()
        .filter_map(|(word, id)| Some((text.find(word)?, *word, *id)));
    found.min_by_key(|(at, _, _)| *at)
}

fn normalize(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len());
    for c in text.chars().filter(|c| !is_removed(*c)) {
        if c.is_whitespace() {
            spaced.push(' ');
        } else if is_chinese(c) {
            spaced.extend([' ', c, ' ']);
        } else {
            spaced.push(c);
        }
    }
    let plain = spaced
        .nfd()
        .filter(|c| c.general_category() != GeneralCategory::NonspacingMark);
    plain.flat_map(char::to_lowercase).collect()
}

/// Characters without a shape: control and format characters, private use, the replacement character.
fn is_removed(c: char) -> bool {
    if matches!(c, '\t' | '\n' | '\r') {
        return false;
    }
    matches!(c, '\0' | '\u{fffd}')
        || (c.general_category_group() == GeneralCategoryGroup::Other
            && c.general_category() != GeneralCategory::Unassigned)
}

/// Ideographs; the reference tokenizer leaves out U+2B820 to U+2B91F.
fn is_chinese(c: char) -> bool {
    matches!(c,
        '\u{4e00}'..='\u{9fff}' | '\u{3400}'..='\u{4dbf}' | '\u{20000}'..='\u{2a6df}'
        | '\u{2a700}'..='\u{2b73f}' | '\u{2b740}'..='\u{2b81f}' | '\u{2b920}'..='\u{2ceaf}'
        | '\u{f900}'..='\u{faff}' | '\u{2f800}'..='\u{2fa1f}')
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() || c.general_category_group() == GeneralCategoryGroup::Punctuation
}

fn push_words(text: &str, vocabulary: &Vocabulary, count_max: usize, ids: &mut Vec<u16>) {
    for part in text.split_whitespace() {
        let mut rest = part;
        while let Some(first) = rest.chars().next() {
            let end = match rest.find(is_punctuation) {
                Some(0) => first.len_utf8(),
                Some(at) => at,
                None => rest.len(),
            };
            push_pieces(&rest[..end], vocabulary, ids);
            rest = &rest[end..];
            if ids.len() >= count_max {
                return;
            }
        }
    }
}

/// Longest pieces from the left, or the unknown token for the whole word.
fn push_pieces(word: &str, vocabulary: &Vocabulary, ids: &mut Vec<u16>) {
    let before = ids.len();
    if word.chars().count() > WORD_CHARS_MAX {
        ids.push(UNKNOWN);
        return;
    }
    let mut rest = word;
    while !rest.is_empty() {
        let Some((id, bytes)) = longest_piece(rest, ids.len() > before, vocabulary) else {
            ids.truncate(before);
            ids.push(UNKNOWN);
            return;
        };
        ids.push(id);
        rest = &rest[bytes..];
    }
}

/// Id and length of the longest piece at the start of `rest`.
fn longest_piece(rest: &str, continues: bool, vocabulary: &Vocabulary) -> Option<(u16, usize)> {
    let mark = if continues { "##" } else { "" };
    let mut piece = format!("{mark}{rest}");
    while piece.len() > mark.len() {
        if let Some(id) = vocabulary.id(&piece) {
            return Some((id, piece.len() - mark.len()));
        }
        piece.pop();
    }
    None
}
