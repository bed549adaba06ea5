//! Prompt as the guards compare it: courtesies cut off, then words, numbers, symbols, code and quotations. Reads any text; what it does
//! not know becomes a word with content.

use std::sync::LazyLock;

use regex_lite::Regex;
use unicode_normalization::UnicodeNormalization as _;

use super::words::{ENDINGS, LISTS};

/// Parts of a prompt.
pub struct Prompt {
    pub words: Vec<Word>,
    pub numbers: Vec<String>,
    pub symbols: Vec<String>,
    /// flags, paths, names of code and what stands between backticks, as written
    pub code: Vec<String>,
    /// names with capitals inside, as written
    pub mixed_case: Vec<String>,
    pub quotes: Vec<String>,
    /// counts of words before each comma
    pub commas: Vec<usize>,
}

/// Word in lower case, in its one spelling.
#[derive(Clone, PartialEq, Debug)]
pub struct Word {
    pub text: String,
    pub stem: String,
    /// carries meaning: must have a counterpart
    pub is_content: bool,
    /// written with a capital inside a sentence
    pub is_name: bool,
    /// follows a number directly
    pub is_unit: bool,
}

impl Word {
    /// Sets another spelling.
    pub fn respell(&mut self, text: &str) {
        text.clone_into(&mut self.text);
        self.stem = LISTS.stem(text);
        self.is_content = is_content(text) || self.is_unit;
    }
}

fn is_content(word: &str) -> bool {
    !LISTS.is_stop(word)
}

macro_rules! pattern {
    ($name:ident, $($part:expr),+) => {
        static $name: LazyLock<Regex> = LazyLock::new(|| Regex::new(concat!($($part),+)).expect("the pattern is valid"));
    };
}

pattern!(
    LEADING,
    r"(?i)^(?:\W*(?:(?:hi|hello|hey|hiya|dear)(?: (?:all|there|team|folks|guys|everyone))?|",
    r"(?:good )?(?:morning|afternoon|evening|day)(?: (?:all|there|team|folks|guys|everyone))?[,!.]|",
    r"sorry to bother you|sorry|excuse me|quick (?:question|one|q)|just (?:wondering|checking|curious)|",
    r"i was wondering(?: if)?|i wonder|(?:please )?(?:can|could|would|will) (?:you|u|someone|anyone)(?: please)?(?: kindly)? ",
    r"(?:tell me|let me know|explain|help me(?: understand)?|advise|say)|(?:can|could|would) (?:you|u) please|",
    r"please(?: tell me)?|pls|plz|tell me|do you know|any idea|ok|okay|so|um|uh|erm|(?:silly|stupid|random) question|",
    r"well|but|thanks|btw|by the way|i need to know|i want to know|i would like to know|i'd like to know)(?:[\s,:;.!?]|-\s)+)+"
);
pattern!(
    TRAILING,
    r"(?i)(?:[\s,:;.!?-]*\b(?:please|pls|plz|thanks|thank you|thx|ta|cheers|many thanks|thanks in advance|",
    r"thank you in advance|kind regards|regards|if possible|asap))+\W*$"
);
pattern!(
    MENTION_AFTER,
    r"(?i)^(?:in|is|are|as|means?|vs|versus|or|and|to|mean)\b"
);
pattern!(
    MENTION_BEFORE,
    r"(?i)\b(?:say|says|saying|spell|write|translate|word|mean|means|of|or|and|for)$"
);
// two wordings of one question
pattern!(
    CHOICE,
    r"(?i)\b(?:is it (?:possible|ok|okay|allowed)(?: for me)? to|am i (?:able|allowed) to)\b"
);
pattern!(
    WAY,
    r"(?i)\b(?:is there (?:a|any) way to|what(?:'s| is) the way to)\b"
);
pattern!(
    QUOTE,
    r#""([^"]+)"|(?:^|[\s(\[:=])'([^']+)'(?:$|[\s).,;:!?\]])"#
);
pattern!(
    CODE,
    r"`([^`]+)`|(?:^|\s)(-{1,2}[A-Za-z][A-Za-z0-9-]*)|([A-Za-z0-9_.]+\(\))|([A-Za-z0-9]*_[A-Za-z0-9_]*[A-Za-z0-9]+)|",
    r"([^\s`]*[A-Za-z0-9][./\\@:=][A-Za-z0-9/\\][^\s`]*)"
);
pattern!(
    MIXED_CASE,
    r"\b([a-z]+[A-Z][A-Za-z0-9]*|[A-Z][a-z0-9]+[A-Z][A-Za-z0-9]*)\b"
);

impl Prompt {
    pub fn read(text: &str) -> Prompt {
        let text: String = text.nfkc().map(plain_quote).collect();
        let text = CHOICE.replace_all(&text, "can I");
        let text = WAY.replace_all(&text, "how do I");
        let text = without_courtesies(&text);
        let mut code: Vec<String> = captures(&CODE, text);
        // times and decimal numbers are numbers
        code.retain(|code| code.contains(char::is_alphabetic));
        for code in &mut code {
            let end = code.trim_end_matches(['.', ',', ';', ':', '!', '?']).len();
            code.truncate(end);
        }
        code.sort_unstable();
        let mut mixed_case = captures(&MIXED_CASE, text);
        mixed_case.sort_unstable();
        let mut prompt = Prompt {
            words: Vec::new(),
            numbers: Vec::new(),
            symbols: Vec::new(),
            code,
            mixed_case,
            quotes: captures(&QUOTE, text),
            commas: Vec::new(),
        };
        Reader::new(text, &mut prompt).read();
        prompt
    }

    /// Words and numbers without the spaces between them.
    pub fn joined(&self) -> String {
        let words = self.words.iter().map(|word| word.text.as_str());
        words
            .chain(self.numbers.iter().map(String::as_str))
            .collect()
    }
}

fn captures(pattern: &Regex, text: &str) -> Vec<String> {
    let first = |found: regex_lite::Captures<'_>| {
        let part = found.iter().skip(1).flatten().next()?;
        Some(part.as_str().to_owned())
    };
    pattern.captures_iter(text).filter_map(first).collect()
}

fn plain_quote(c: char) -> char {
    match c {
        '‘' | '’' | '‛' | 'ʼ' | '´' => '\'',
        '“' | '”' | '„' | '«' | '»' => '"',
        '‐' | '‑' | '−' => '-',
        other => other,
    }
}

/// Text without greeting and thanks. A text of nothing else stays, and so does a courtesy that is the topic ("how do I say thanks").
fn without_courtesies(text: &str) -> &str {
    let start = LEADING.find(text).map_or(0, |found| found.end());
    let start = if MENTION_AFTER.is_match(&text[start..]) {
        0
    } else {
        start
    };
    let rest = &text[start..];
    let end = TRAILING
        .find(rest)
        .map_or(rest.len(), |found| found.start());
    let end = if MENTION_BEFORE.is_match(rest[..end].trim_end()) {
        rest.len()
    } else {
        end
    };
    let rest = &rest[..end];
    if rest.chars().any(char::is_alphanumeric) {
        rest
    } else {
        text
    }
}

/// Walk through the characters.
struct Reader<'a> {
    text: &'a str,
    prompt: &'a mut Prompt,
    /// the next word begins a sentence
    begins: bool,
    /// most words are written with a capital: capitals say nothing
    is_title: bool,
    /// most words are in capitals
    is_shouted: bool,
    has_operator: bool,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, prompt: &'a mut Prompt) -> Reader<'a> {
        let mut words = 0;
        let mut capitals = 0;
        let mut shouted = 0;
        for word in text.split_whitespace() {
            words += 1;
            capitals += usize::from(word.starts_with(char::is_uppercase));
            shouted += usize::from(is_acronym(word));
        }
        Reader {
            text,
            prompt,
            begins: true,
            is_title: capitals * 2 > words,
            is_shouted: shouted * 2 > words,
            has_operator: text.contains(['+', '*', '/', '^', '=', '<', '>']),
        }
    }

    fn read(&mut self) {
        let text = self.text;
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            if c.is_alphanumeric() {
                let run = run(&text[at..]);
                self.push_run(run);
                self.begins = false;
                at += run.len();
                continue;
            }
            self.push_sign(c, at);
            at += c.len_utf8();
        }
    }

    fn push_sign(&mut self, c: char, at: usize) {
        match c {
            ',' => self.prompt.commas.push(self.prompt.words.len()),
            '.' | '!' | '?' | ':' | '\n' => self.begins = true,
            '%' | '$' | '£' | '€' => self.push_word(&c.to_string(), false, true),
            '-' if !self.is_minus(at) => {}
            '(' | ')' if !self.has_operator => {}
            ';' | '\'' | '"' | '`' | '…' | '–' | '—' | '\u{200d}' | '\u{fe0f}' => {}
            _ if c.is_whitespace() || c.is_control() => {}
            _ => self.prompt.symbols.push(c.to_string()),
        }
    }

    /// Sign of a number or of a subtraction.
    fn is_minus(&self, at: usize) -> bool {
        let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
        let (before, after) = (&self.text[..at], &self.text[at + 1..]);
        let is_sign = is_digit(after.chars().next()) && !before.ends_with(char::is_alphabetic);
        is_sign
            || (is_digit(before.trim_end().chars().next_back())
                && is_digit(after.trim_start().chars().next()))
    }

    /// Letters and digits without a space: a number, a number with its unit, or a word.
    fn push_run(&mut self, run: &str) {
        let digits = run.find(|c: char| !is_number_part(c)).unwrap_or(run.len());
        let (number, rest) = run.split_at(digits);
        if number.is_empty() || rest.chars().any(|c| !c.is_alphabetic()) {
            self.push_word(run, run.starts_with(char::is_uppercase), false);
            return;
        }
        self.prompt.numbers.push(number.replace(',', ""));
        if !rest.is_empty() && !["st", "nd", "rd", "th"].contains(&rest.to_lowercase().as_str()) {
            self.push_word(rest, false, true);
        }
    }

    fn push_word(&mut self, written: &str, is_capital: bool, is_unit: bool) {
        let lower = written.to_lowercase();
        let is_written_name = is_capital && !self.begins && !self.is_title && written != "I";
        let is_name = is_written_name || (is_acronym(written) && !self.is_shouted);
        for word in expand(&lower) {
            if let Some(number) = LISTS.number(&word) {
                self.prompt.numbers.push(number.to_owned());
                continue;
            }
            let form = LISTS.form(&word);
            for text in form.unwrap_or(&word).split(' ') {
                self.prompt.words.push(Word {
                    stem: LISTS.stem(text),
                    is_content: is_unit || is_name || is_content(text),
                    is_name,
                    is_unit,
                    text: text.to_owned(),
                });
            }
        }
    }
}

/// `US`, `IT`: not the words in small letters.
fn is_acronym(word: &str) -> bool {
    let mut letters = word.chars().filter(|c| c.is_alphabetic());
    word.chars().filter(|c| c.is_alphabetic()).count() >= 2 && letters.all(char::is_uppercase)
}

fn is_number_part(c: char) -> bool {
    c.is_numeric() || matches!(c, '.' | ':' | '/' | ',')
}

/// Letters, digits and the signs between them that hold a word or a number together.
fn run(text: &str) -> &str {
    let mut end = 0;
    let mut before = None;
    for (at, c) in text.char_indices() {
        let rest = &text[at + c.len_utf8()..];
        if !c.is_alphanumeric() && !is_joined(before, c, rest) {
            break;
        }
        end = at + c.len_utf8();
        before = Some(c);
    }
    &text[..end]
}

fn is_joined(before: Option<char>, sign: char, rest: &str) -> bool {
    let after = rest.chars().next();
    let are = |is: fn(char) -> bool| before.is_some_and(is) && after.is_some_and(is);
    match sign {
        '\'' | '_' => are(char::is_alphanumeric),
        '.' | ':' | '/' => are(char::is_numeric),
        // thousands
        ',' => are(char::is_numeric) && rest.chars().take_while(|c| c.is_numeric()).count() == 3,
        // a mark on a letter belongs to it
        other => {
            !other.is_ascii()
                && other
                    .nfd()
                    .all(unicode_normalization::char::is_combining_mark)
        }
    }
}

/// Words that a short form stands for.
fn expand(word: &str) -> Vec<String> {
    let whole = |text: &str| text.split(' ').map(str::to_owned).collect();
    if let Some(words) = LISTS.contraction(word) {
        return whole(words);
    }
    for (ending, meant) in ENDINGS {
        if let Some(rest) = word.strip_suffix(ending).filter(|rest| !rest.is_empty()) {
            return whole(format!("{rest} {meant}").trim_end());
        }
    }
    vec![word.replace('\'', "")]
}
