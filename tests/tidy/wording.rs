//! Rules on prose and names: the first word of a comment, participles as type names, citations of pages outside the
//! repository. Input is one file; the result lists its faults with their lines. It must never judge literals.

use super::source::{Comment, Source, words};

/// Question words: a comment that opens with one is a subordinate clause without a noun.
const OPENINGS: &[&str] = &["what", "who", "whose", "whether", "where"];

/// Participles that name no thing. A type name may not end with one; before a noun (`SkippedSegment`) they are allowed.
const PARTICIPLES: &str = "\
    Added Answered Answering Applied Asked Begun Booked Borrowed Called Chosen Cited Closed Corrected \
    Counted Declared Delivered Done Ended Entering Expected Failed Fetching Followed Forwarded Found \
    Given Gone Heard Held Incoming Kept Known Left Limited Listed Loaded Logged Looked Lost Meant \
    Measured Minted Missing Named Opened Outgoing Owed Owned Parsed Parting Passed Placed Planned \
    Promised Reached Received Reckoned Recorded Recovered Refused Rejected Released Remembered Reported \
    Resolved Returned Rewritten Running Said Scanned Sealed Seeded Seen Sending Sent Served Settled \
    Shared Shown Signed Skipped Spent Spoken Started Stopped Stored Striking Sworn Taken Thinned Thought \
    Told Touched Unparsed Unpriced Unsynced Untaken Used Verified Waiting Waited Wanted Watched Woken \
    Written";

const TYPE_KEYWORDS: &[&str] = &["struct", "enum", "union", "trait", "type"];

/// No comment opens with a question word.
pub fn comment_openings(path: &str, text: &str) -> Vec<String> {
    let comments = Source::read(text).comments;
    let opens_block = |at: usize| at == 0 || !continues(&comments[at - 1], &comments[at]);
    let openings = comments.iter().enumerate().filter_map(|(at, comment)| {
        let word = first_word(&comment.text).to_lowercase();
        (opens_block(at) && OPENINGS.contains(&word.as_str())).then(|| {
            format!(
                "{path}:{}: a comment opens with `{word}`; open with a noun or a verb",
                comment.line
            )
        })
    });
    openings.collect()
}

fn continues(previous: &Comment, comment: &Comment) -> bool {
    previous.line + 1 == comment.line
        && previous.is_alone
        && comment.is_alone
        && marker(&previous.text) == marker(&comment.text)
}

fn marker(comment: &str) -> &str {
    ["///", "//!", "//"]
        .into_iter()
        .find(|marker| comment.starts_with(marker))
        .unwrap_or_default()
}

fn first_word(comment: &str) -> &str {
    let text = comment.trim_start_matches(['/', '!', '*', ' ']);
    let end = text.find(|c: char| !c.is_alphanumeric());
    &text[..end.unwrap_or(text.len())]
}

/// A type name ends with a noun. Enum variants are free.
pub fn participle_types(path: &str, text: &str) -> Vec<String> {
    let source = Source::read(text);
    let tokens: Vec<&str> = words(&source.code).map(|(_, word)| word).collect();
    let names = tokens
        .windows(2)
        .filter(|pair| TYPE_KEYWORDS.contains(&pair[0]) && is_participle(last_word(pair[1])));
    let mut faults: Vec<String> = names
        .map(|pair| {
            format!(
                "{path}: type `{}` is named by a participle; use a noun",
                pair[1]
            )
        })
        .collect();
    faults.sort();
    faults.dedup();
    faults
}

fn is_participle(word: &str) -> bool {
    PARTICIPLES
        .split_whitespace()
        .any(|participle| participle == word)
}

/// `Segment` of `SkippedSegment`.
fn last_word(name: &str) -> &str {
    &name[name.rfind(char::is_uppercase).unwrap_or(0)..]
}

/// Comments cite only pages in the repository, and no ids of pages outside it.
pub fn outside_citations(
    path: &str,
    text: &str,
    is_in_repository: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut faults = Vec::new();
    for comment in Source::read(text).comments {
        let is_page_char = |c: char| c.is_alphanumeric() || "./_-".contains(c);
        let pages = comment
            .text
            .split(|c| !is_page_char(c))
            .filter(|word| word.ends_with(".md"));
        let ids = comment
            .text
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| is_case_id(word));
        for page in pages.filter(|page| !is_in_repository(page)) {
            faults.push(format!(
                "{path}:{}: cites `{page}`, which is not in the repository",
                comment.line
            ));
        }
        for id in ids.filter(|id| is_in_parentheses(&comment.text, id)) {
            faults.push(format!(
                "{path}:{}: cites `{id}`; state the rule in words",
                comment.line
            ));
        }
    }
    faults
}

/// A capital letter and one to three digits: `E34`.
fn is_case_id(word: &str) -> bool {
    let digits = word.trim_start_matches(|c: char| c.is_ascii_uppercase());
    word.len() == digits.len() + 1
        && (1..=3).contains(&digits.len())
        && digits.chars().all(|c| c.is_ascii_digit())
}

fn is_in_parentheses(text: &str, word: &str) -> bool {
    let groups = text
        .split('(')
        .skip(1)
        .filter_map(|rest| rest.split_once(')'));
    let mut words = groups.flat_map(|(inside, _)| inside.split(|c: char| !c.is_alphanumeric()));
    words.any(|inside| inside == word)
}

#[test]
fn comment_opening_with_question_word_is_reported() {
    let faults = |text| comment_openings("a.rs", text).len();
    assert_eq!(
        faults("//! What a call costs.\n\n/// Whether it is set.\nfn f() {}"),
        2
    );
    assert_eq!(
        faults("struct A {\n    b: u8, // who asked\n    c: u8, // where\n}"),
        2
    );
    assert_eq!(
        faults("/// Cost of a call and\n/// what it holds.\nfn f() {} // else"),
        0
    );
    assert_eq!(faults("/// Whatever.\nconst A: &str = \"// What\";"), 0);
    assert_eq!(
        faults("// Plain.\n/// What another marker opens.\nfn f() {}"),
        1
    );
}

#[test]
fn type_named_by_participle_is_reported() {
    let faults = |text| participle_types("a.rs", text).len();
    assert_eq!(
        faults("pub struct Held;\nenum CallEnded { A }\ntype Told = u8;"),
        3
    );
    assert_eq!(
        faults("struct SkippedSegment;\nenum State { Held, Sent(u8) }\nlet t: Held;"),
        0
    );
}

#[test]
fn citation_of_page_outside_repository_is_reported() {
    let faults = |text| outside_citations("a.rs", text, |page| page == "README.md").len();
    assert_eq!(
        faults("/// As in shared/WIRE.md 2.12 (E34).\n// always an id (E4, E12)"),
        4
    );
    assert_eq!(
        faults("/// See README.md, claude-3 (H100x) and F16 floats.\nlet s = \"(E34)\";"),
        0
    );
}
