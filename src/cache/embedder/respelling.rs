//! Spelling of a prompt before it is embedded: a misspelled word falls into pieces whose vector is far from that of the word. Only the
//! search sees the result; the guards judge what was written.

use super::vocabulary::Vocabulary;
use crate::cache::spelling::slip;

/// Shorter words are left alone: too many words are one letter away.
const LETTERS_MIN: usize = 4;
/// Unknown words of a prompt that are looked up, at most; each is compared with the whole vocabulary.
const LOOKUPS_MAX: usize = 4;

/// Text with each misspelled word replaced by the most frequent word of the vocabulary that is one slip away. Names, which have a
/// capital inside a sentence, stay.
pub fn respell(text: &str, vocabulary: &Vocabulary) -> String {
    let mut respelled = String::with_capacity(text.len());
    let mut lookups = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_alphanumeric())
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let is_plain =
            word.len() >= LETTERS_MIN && word.bytes().all(|byte| byte.is_ascii_lowercase());
        let right = if is_plain && lookups < LOOKUPS_MAX && vocabulary.id(word).is_none() {
            lookups += 1;
            vocabulary.most_frequent(|other| slip(word, other).is_some())
        } else {
            None
        };
        respelled.push_str(right.unwrap_or(word));
        let sign = after.chars().next().map_or(0, char::len_utf8);
        respelled.push_str(&after[..sign]);
        rest = &after[sign..];
    }
    respelled
}
