//! Words without content of their own that turn a question round: question words, persons, tenses, duties, directions. Compared only as
//! far as both prompts have them, because a shorter wording leaves them out.

use super::text::{Prompt, Word};

/// A word and its class.
type Classes = &'static [(&'static str, &'static str)];

const QUESTIONS: Classes = &[
    ("when", "when"),
    ("where", "where"),
    ("who", "who"),
    ("whom", "who"),
    ("whose", "whose"),
    ("why", "why"),
];

const PERSONS: Classes = &[
    ("i", "I"),
    ("me", "I"),
    ("my", "I"),
    ("mine", "I"),
    ("myself", "I"),
    ("we", "I"),
    ("us", "I"),
    ("our", "I"),
    ("ours", "I"),
    ("you", "you"),
    ("your", "you"),
    ("yours", "you"),
    ("he", "he"),
    ("him", "he"),
    ("his", "he"),
    ("she", "she"),
    ("her", "she"),
    ("hers", "she"),
    ("they", "they"),
    ("them", "they"),
    ("their", "they"),
    ("theirs", "they"),
];

const TENSES: Classes = &[
    ("did", "past"),
    ("was", "past"),
    ("were", "past"),
    ("had", "past"),
    ("will", "future"),
    ("shall", "future"),
    ("is", "present"),
    ("are", "present"),
    ("do", "present"),
    ("does", "present"),
    ("am", "present"),
];

const DUTIES: Classes = &[
    ("must", "duty"),
    ("should", "duty"),
    ("need", "duty"),
    ("shall", "duty"),
    ("can", "choice"),
    ("could", "choice"),
    ("may", "choice"),
    ("might", "choice"),
];

const DIRECTIONS: Classes = &[
    ("from", "from"),
    ("to", "to"),
    ("into", "to"),
    ("by", "by"),
    ("for", "for"),
    ("than", "than"),
    ("via", "via"),
    ("as", "as"),
];

const VERBS: &[&str] = &[
    "am", "are", "can", "could", "did", "do", "does", "has", "have", "is", "may", "might", "must",
    "shall", "should", "was", "were", "will", "would",
];
const OPEN: &[&str] = &[
    "how", "what", "when", "where", "which", "who", "whom", "whose", "why",
];

fn class(classes: Classes, word: &Word) -> Option<&'static str> {
    let is_word = |(text, _): &&(&str, &str)| !word.is_name && *text == word.text;
    classes.iter().find(is_word).map(|(_, class)| *class)
}

/// Classes in the order of their first words.
fn classes_of(classes: Classes, prompt: &Prompt) -> Vec<&'static str> {
    let mut found = Vec::new();
    for class in prompt.words.iter().filter_map(|word| class(classes, word)) {
        if !found.contains(&class) {
            found.push(class);
        }
    }
    found
}

/// Both ask when, where, who or why, or neither does.
pub fn have_same_question(a: &Prompt, b: &Prompt) -> bool {
    classes_of(QUESTIONS, a) == classes_of(QUESTIONS, b)
}

/// Not how, when, where, who or why against another one of them.
pub fn have_no_other_question(a: &Prompt, b: &Prompt) -> bool {
    let of = |prompt: &Prompt| {
        let mut classes = classes_of(QUESTIONS, prompt);
        let asks_how = prompt.words.iter().any(|word| word.text == "how");
        classes.extend(asks_how.then_some("how"));
        classes
    };
    let (a, b) = (of(a), of(b));
    a.is_empty() || b.is_empty() || a.iter().any(|class| b.contains(class))
}

/// Not a question for yes or no against an open one.
pub fn have_same_kind(a: &Prompt, b: &Prompt) -> bool {
    let is_open = |prompt: &Prompt| {
        prompt
            .words
            .iter()
            .any(|word| OPEN.contains(&word.text.as_str()))
    };
    let is_closed = |prompt: &Prompt| {
        let first = prompt.words.first();
        first.is_some_and(|word| VERBS.contains(&word.text.as_str())) && !is_open(prompt)
    };
    let differ = is_open(a) && is_closed(b) || is_closed(a) && is_open(b);
    !differ
}

/// Persons that do not exclude each other: one side has none, or all of the other side in its order.
pub fn have_same_persons(a: &Prompt, b: &Prompt) -> bool {
    let (a, b) = (classes_of(PERSONS, a), classes_of(PERSONS, b));
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let mut rest = long.iter();
    short.iter().all(|person| rest.any(|other| other == person))
}

/// Not the past, or the future, against another tense.
pub fn have_same_tense(a: &Prompt, b: &Prompt) -> bool {
    let (a, b) = (classes_of(TENSES, a), classes_of(TENSES, b));
    let of = |tense: &str| a.contains(&tense) == b.contains(&tense);
    a.is_empty() || b.is_empty() || (of("past") && of("future"))
}

/// Duty on both sides or on none.
pub fn have_same_duty(a: &Prompt, b: &Prompt) -> bool {
    classes_of(DUTIES, a).contains(&"duty") == classes_of(DUTIES, b).contains(&"duty")
}

/// Not a duty against a choice.
pub fn have_no_other_duty(a: &Prompt, b: &Prompt) -> bool {
    let (a, b) = (classes_of(DUTIES, a), classes_of(DUTIES, b));
    a.is_empty() || b.is_empty() || a.contains(&"duty") == b.contains(&"duty")
}

/// No content word that both have follows another direction: `to Paris` and `from Paris`.
pub fn have_same_directions(a: &Prompt, b: &Prompt) -> bool {
    let (a, b) = (directions(a), directions(b));
    a.iter().all(|(stem, direction)| {
        let mut same = b.iter().filter(|(other, _)| other == stem).peekable();
        same.peek().is_none() || same.any(|(_, other)| other == direction)
    })
}

/// Content words right behind a direction, but for words without content.
fn directions(prompt: &Prompt) -> Vec<(&str, &'static str)> {
    let mut found = Vec::new();
    let mut direction = None;
    for word in &prompt.words {
        if let Some(class) = class(DIRECTIONS, word) {
            direction = Some(class);
        } else if word.is_content {
            found.extend(
                direction
                    .take()
                    .map(|direction| (word.stem.as_str(), direction)),
            );
        } else if PERSONS.iter().any(|(text, _)| *text == word.text) {
            direction = None;
        }
    }
    found
}
