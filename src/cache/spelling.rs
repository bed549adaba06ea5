//! Slips of the pen: a misspelled word and the word that was meant. Both in lower case; which of them is spelled right is for the
//! caller to say. Ends of words are judged strictly, because there differ words that are both right (`nice` and `nicer`, `nitrate`
//! and `nitrite`).

/// Shortest word with a letter missing, too many or wrong; of shorter ones only exchanged letters are known.
const LETTERS_MIN: usize = 4;
/// Shortest word with several letters in another order.
const REARRANGED_MIN: usize = 8;

/// Kind of the difference between a word and a misspelling of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slip {
    /// two neighbors exchanged, or a letter doubled or single: hardly ever another name
    Shape,
    /// one letter missing, too many or wrong, or a few in another order: `Smyth` and `Smith` are two names
    Letter,
}

/// `None` for equal words, and for words too far from each other.
pub fn slip(word: &str, right: &str) -> Option<Slip> {
    let (a, b) = (word.as_bytes(), right.as_bytes());
    let shorter = a.len().min(b.len());
    if shorter < 3
        || a.len().abs_diff(b.len()) > 1
        || !a.iter().chain(b).all(u8::is_ascii_lowercase)
    {
        return None;
    }
    let start = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (rest_a, rest_b) = (&a[start..], &b[start..]);
    let pairs = rest_a.iter().rev().zip(rest_b.iter().rev());
    let end = pairs.take_while(|(a, b)| a == b).count();
    let (slip_a, slip_b) = (&rest_a[..rest_a.len() - end], &rest_b[..rest_b.len() - end]);
    match (slip_a, slip_b) {
        ([a, b], [c, d]) if a == d && b == c => Some(Slip::Shape),
        _ if shorter < LETTERS_MIN || start == 0 => None,
        ([extra], []) | ([], [extra]) if a[start - 1] == *extra => Some(Slip::Shape),
        ([_], []) | ([], [_]) => (end > 0).then_some(Slip::Letter),
        ([_], [_]) => (end >= 3).then_some(Slip::Letter),
        _ => (shorter >= REARRANGED_MIN && is_rearranged(slip_a, slip_b)).then_some(Slip::Letter),
    }
}

/// Few letters in another order: `araun` and `auran`.
fn is_rearranged(a: &[u8], b: &[u8]) -> bool {
    let sorted = |letters: &[u8]| {
        let mut letters = letters.to_vec();
        letters.sort_unstable();
        letters
    };
    (1..=4).contains(&a.len()) && sorted(a) == sorted(b)
}

#[cfg(test)]
mod tests {
    //! Slips, and pairs of words that are both right.

    use super::*;

    #[test]
    fn slip_of_misspelled_word_is_known() {
        for (word, right) in [
            ("teh", "the"),
            ("captial", "capital"),
            ("adress", "address"),
            ("untill", "until"),
        ] {
            assert_eq!(slip(word, right), Some(Slip::Shape), "{word}");
        }
        for (word, right) in [
            ("reqest", "request"),
            ("definately", "definitely"),
            ("restaraunt", "restaurant"),
        ] {
            assert_eq!(slip(word, right), Some(Slip::Letter), "{word}");
        }
    }

    #[test]
    fn slip_of_two_right_words_is_none() {
        let pairs = [
            ("nicer", "nice"),
            ("nitrite", "nitrate"),
            ("trainee", "trainer"),
            ("atypical", "typical"),
            ("hypotension", "hypertension"),
            ("prednisolone", "prednisone"),
            ("methanol", "ethanol"),
            ("same", "same"),
            ("cat", "car"),
            ("ab", "ba"),
            ("straße", "strasse"),
        ];
        for (word, right) in pairs {
            assert_eq!(slip(word, right), None, "{word}");
        }
    }
}
