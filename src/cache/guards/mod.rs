//! Guards of the semantic step: a candidate whose vector is near is refused when its text differs in a point that turns an answer. A
//! vector hardly sees a number, a negation or an exchanged name, so the guards decide; the vector only finds. In doubt they refuse:
//! a miss costs a request, a wrong answer costs trust. They know English; text of another language passes only with equal words.

mod matching;
mod relations;
mod text;
mod words;

#[cfg(all(test, feature = "embedded-embedder"))]
mod tests;

use matching::Matching;
use text::{Prompt, Word};
use words::LISTS;

/// Strictness of the comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strictness {
    /// each word with content has a counterpart
    Strict,
    /// a question in quite other words may pass; a small change of one does not
    Balanced,
}

/// Point in which two texts differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Guard {
    Number,
    Negation,
    Antonym,
    Code,
    Quote,
    Symbol,
    Question,
    Person,
    Tense,
    Duty,
    Direction,
    Order,
    Content,
    Entity,
}

impl Guard {
    /// Word for records and headers; it tells nothing of the texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Guard::Number => "number",
            Guard::Negation => "negation",
            Guard::Antonym => "antonym",
            Guard::Code => "code",
            Guard::Quote => "quote",
            Guard::Symbol => "symbol",
            Guard::Question => "question",
            Guard::Person => "person",
            Guard::Tense => "tense",
            Guard::Duty => "duty",
            Guard::Direction => "direction",
            Guard::Order => "order",
            Guard::Content => "content",
            Guard::Entity => "entity",
        }
    }
}

/// First guard that refuses to serve the answer to `stored` for `asked`, `None` if all let it pass. `is_word` is the dictionary
/// (`Embedder::is_word`), by which a slip of the pen is known.
pub fn refusal(
    asked: &str,
    stored: &str,
    strictness: Strictness,
    is_word: &dyn Fn(&str) -> bool,
) -> Option<Guard> {
    let (mut a, mut b) = (Prompt::read(asked), Prompt::read(stored));
    matching::align_spelling(&mut a, &mut b, is_word);
    literal_refusal(&a, &b).or_else(|| match strictness {
        Strictness::Strict => strict_refusal(&a, &b),
        Strictness::Balanced => balanced_refusal(&a, &b),
    })
}

/// Words of each text that the other lacks, for a person who may read both.
pub fn differing_words(asked: &str, stored: &str) -> (Vec<String>, Vec<String>) {
    let (a, b) = (Prompt::read(asked), Prompt::read(stored));
    let only = |one: &Prompt, other: &Prompt| {
        let words = one
            .words
            .iter()
            .filter(|word| !has_stem(other, word))
            .map(|word| &word.text);
        let numbers = one
            .numbers
            .iter()
            .filter(|number| !other.numbers.contains(number));
        let signs = one
            .symbols
            .iter()
            .filter(|sign| !other.symbols.contains(sign));
        words.chain(numbers).chain(signs).cloned().collect()
    };
    (only(&a, &b), only(&b, &a))
}

fn has_stem(prompt: &Prompt, word: &Word) -> bool {
    prompt.words.iter().any(|other| other.stem == word.stem)
}

/// Points that no wording may change.
fn literal_refusal(a: &Prompt, b: &Prompt) -> Option<Guard> {
    let checks = [
        (a.numbers == b.numbers, Guard::Number),
        (is_negated(a) == is_negated(b), Guard::Negation),
        (!has_opposite(a, b), Guard::Antonym),
        (a.code == b.code && has_same_case(a, b), Guard::Code),
        (
            a.quotes.is_empty() || b.quotes.is_empty() || a.quotes == b.quotes,
            Guard::Quote,
        ),
        (a.symbols == b.symbols, Guard::Symbol),
        (relations::have_no_other_question(a, b), Guard::Question),
        (relations::have_same_persons(a, b), Guard::Person),
        (relations::have_same_tense(a, b), Guard::Tense),
        (relations::have_no_other_duty(a, b), Guard::Duty),
        (relations::have_same_directions(a, b), Guard::Direction),
    ];
    first_refusal(&checks)
}

fn strict_refusal(a: &Prompt, b: &Prompt) -> Option<Guard> {
    let matching = Matching::of(a, b);
    let texts = |prompt: &Prompt| {
        prompt
            .words
            .iter()
            .map(|word| word.text.clone())
            .collect::<Vec<_>>()
    };
    let has_content = !matching.pairs.is_empty() || texts(a) == texts(b);
    // `log in` and `login`
    let is_joined = a.joined() == b.joined();
    let checks = [
        (relations::have_same_question(a, b), Guard::Question),
        (relations::have_same_kind(a, b), Guard::Question),
        (relations::have_same_duty(a, b), Guard::Duty),
        (is_joined || matching.is_in_order(a, b), Guard::Order),
        (
            is_joined || (has_content && matching.is_complete()),
            Guard::Content,
        ),
    ];
    first_refusal(&checks)
}

/// Overlap of the content from which one unmatched word is a small change of a question rather than another wording.
const OVERLAP_OF_CHANGE: f32 = 0.4;

fn balanced_refusal(a: &Prompt, b: &Prompt) -> Option<Guard> {
    let matching = Matching::of(a, b);
    let (only_a, only_b) = (matching.only_a.len(), matching.only_b.len());
    let is_exchange = !matching.is_complete() && only_a.max(only_b) <= 1;
    let is_addition = only_a.max(only_b) > 1 && only_a.min(only_b) <= 1;
    let is_change = is_exchange || (is_addition && matching.overlap() >= OVERLAP_OF_CHANGE);
    let is_small = |word: &&&Word| word.is_unit || word.is_name || LISTS.is_negation(&word.text);
    let mut unmatched = matching.only_a.iter().chain(&matching.only_b);
    let has_content = !matching.pairs.is_empty();
    let checks = [
        (matching.is_in_order(a, b), Guard::Order),
        (has_content && !is_change, Guard::Content),
        (unmatched.find(is_small).is_none(), Guard::Entity),
    ];
    first_refusal(&checks)
}

fn first_refusal(checks: &[(bool, Guard)]) -> Option<Guard> {
    let failed = checks.iter().find(|(passes, _)| !passes);
    failed.map(|(_, guard)| *guard)
}

fn is_negated(prompt: &Prompt) -> bool {
    let negations = prompt
        .words
        .iter()
        .filter(|word| LISTS.is_negation(&word.text));
    !negations.count().is_multiple_of(2)
}

/// A word of one text is the opposite of a word of the other, and neither has both.
fn has_opposite(a: &Prompt, b: &Prompt) -> bool {
    let only = |one: &Prompt, other: &Prompt| -> Vec<Word> {
        one.words
            .iter()
            .filter(|word| !has_stem(other, word))
            .cloned()
            .collect()
    };
    let (only_a, only_b) = (only(a, b), only(b, a));
    only_a.iter().any(|a| {
        only_b
            .iter()
            .any(|b| LISTS.are_opposite(&a.text, &b.text) || LISTS.are_opposite(&a.stem, &b.stem))
    })
}

/// No name of code is written with other capitals: `getUser` and `GetUser`. All small letters may stand for either.
fn has_same_case(a: &Prompt, b: &Prompt) -> bool {
    let differs = |one: &String, other: &String| one != other && one.eq_ignore_ascii_case(other);
    !a.mixed_case
        .iter()
        .any(|one| b.mixed_case.iter().any(|other| differs(one, other)))
}
