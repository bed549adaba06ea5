//! A Rust file split into code, string literals and comments, for rules that search for words. Input is the text of a
//! file; comments and the contents of literals are blanked in the code, so that they match no rule. It is a lexer, not
//! a parser, and must never apply a rule.

/// The parts of one file.
#[derive(Clone, Debug)]
pub struct Source {
    /// code with comments and the contents of literals blanked; line numbers are unchanged
    pub code: String,
    /// string literals with the line of their opening quote
    pub literals: Vec<(usize, String)>,
    /// line comments and the lines of block comments, in order
    pub comments: Vec<Comment>,
    text: String,
}

/// One line of a comment.
#[derive(Clone, Debug)]
pub struct Comment {
    pub line: usize,
    /// text with its marker (`//`, `///`, `//!`), or one line of a block comment
    pub text: String,
    /// false if code precedes the comment on its line
    pub is_alone: bool,
}

impl Source {
    pub fn read(text: &str) -> Source {
        let mut reader = Reader {
            chars: text.chars().collect(),
            at: 0,
            line: 1,
            code: String::new(),
            literals: Vec::new(),
            comments: Vec::new(),
        };
        while reader.at < reader.chars.len() {
            reader.step();
        }
        Source {
            code: reader.code,
            literals: reader.literals,
            comments: reader.comments,
            text: text.to_owned(),
        }
    }

    /// The same file without items marked `#[cfg(test)]`.
    pub fn without_tests(mut self) -> Source {
        const MARK: &str = "#[cfg(test)]";
        while let Some(start) = self.code.find(MARK) {
            let end = item_end(&self.code, start + MARK.len());
            let (first, last) = (line_at(&self.code, start), line_at(&self.code, end));
            let blank: String = self.code[start..end]
                .chars()
                .map(|c| if c == '\n' { '\n' } else { ' ' })
                .collect();
            self.code.replace_range(start..end, &blank);
            self.literals
                .retain(|(line, _)| *line < first || *line > last);
        }
        self
    }

    /// Lines of the code that contain the phrase; a part of a longer name does not count.
    pub fn lines_with(&self, phrase: &str) -> impl Iterator<Item = usize> {
        let begins_name = phrase.starts_with(is_name);
        let ends_name = phrase.ends_with(is_name);
        self.code.match_indices(phrase).filter_map(move |(at, _)| {
            let before = self.code[..at].chars().next_back();
            let after = self.code[at + phrase.len()..].chars().next();
            let part_of_longer = (begins_name && before.is_some_and(is_name))
                || (ends_name && after.is_some_and(is_name));
            (!part_of_longer).then(|| line_at(&self.code, at))
        })
    }

    /// First names after `root::`, also in groups: `crate::{a, b::{c, d}}` names `a` and `b`, a glob names `*`.
    pub fn modules_named_after(&self, root: &str) -> Vec<(usize, String)> {
        let tokens: Vec<(usize, String)> = words(&self.code)
            .map(|(at, word)| (at, word.to_owned()))
            .collect();
        let mut named = Vec::new();
        for (place, (at, word)) in tokens.iter().enumerate() {
            let is_path = tokens.get(place + 1).is_some_and(|(_, next)| next == "::");
            if word == root && is_path {
                let names = first_names(&tokens[place + 2..]);
                named.extend(
                    names
                        .into_iter()
                        .map(|name| (line_at(&self.code, *at), name)),
                );
            }
        }
        named
    }

    /// True if an attribute has a `reason`, or a comment on its line or the line before.
    pub fn is_explained(&self, line: usize) -> bool {
        let attribute: String = self
            .text
            .lines()
            .skip(line - 1)
            .take(4)
            .collect::<Vec<_>>()
            .join("\n");
        let attribute = attribute.split(")]").next().unwrap_or_default();
        let is_commented = |line| self.comments.iter().any(|comment| comment.line == line);
        attribute.contains("reason =") || is_commented(line) || is_commented(line - 1)
    }
}

/// Names, `::` and other single characters, each with its byte offset.
pub fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        at += code[at..].find(|c: char| !c.is_whitespace())?;
        let rest = &code[at..];
        let length = match rest.find(|c| !is_name(c)).unwrap_or(rest.len()) {
            0 if rest.starts_with("::") => 2,
            0 => rest.chars().next().map_or(1, char::len_utf8),
            name => name,
        };
        at += length;
        Some((at - length, &rest[..length]))
    })
}

fn first_names(after: &[(usize, String)]) -> Vec<String> {
    let Some((_, first)) = after.first() else {
        return Vec::new();
    };
    if first != "{" {
        return vec![first.clone()];
    }
    let (mut names, mut depth, mut is_expected) = (Vec::new(), 0, false);
    for (_, word) in after {
        match word.as_str() {
            "{" => (depth, is_expected) = (depth + 1, depth == 0),
            "}" => depth -= 1,
            "," if depth == 1 => is_expected = true,
            name if is_expected && depth == 1 => {
                names.push(name.to_owned());
                is_expected = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

/// Byte offset behind the item that starts here: behind its `;` or the brace that closes its first one.
pub fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0;
    for (at, c) in code[start..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return start + at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return start + at + 1,
            _ => {}
        }
    }
    code.len()
}

pub fn line_at(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

struct Reader {
    chars: Vec<char>,
    at: usize,
    line: usize,
    code: String,
    literals: Vec<(usize, String)>,
    comments: Vec<Comment>,
}

impl Reader {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn step(&mut self) {
        match (self.peek(0), self.peek(1)) {
            ('/', '/') => self.line_comment(),
            ('/', '*') => self.block_comment(),
            ('"', _) => self.string(),
            ('r', '"' | '#') if self.begins_raw_string() => self.raw_string(),
            ('\'', _) if self.is_char_literal() => self.char_literal(),
            _ => self.keep(),
        }
    }

    fn keep(&mut self) {
        let c = self.peek(0);
        self.code.push(c);
        self.advance();
    }

    fn blank(&mut self) {
        self.code
            .push(if self.peek(0) == '\n' { '\n' } else { ' ' });
        self.advance();
    }

    fn advance(&mut self) {
        self.line += usize::from(self.peek(0) == '\n');
        self.at += 1;
    }

    fn line_comment(&mut self) {
        self.comment_line();
        while self.at < self.chars.len() && self.peek(0) != '\n' {
            self.blank();
        }
    }

    /// Records the rest of the line as a comment.
    fn comment_line(&mut self) {
        let code = self.code.rsplit('\n').next().unwrap_or_default();
        self.comments.push(Comment {
            line: self.line,
            text: self.chars[self.at..]
                .iter()
                .take_while(|c| **c != '\n')
                .collect(),
            is_alone: code.trim().is_empty(),
        });
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.chars.len() {
            if self
                .comments
                .last()
                .is_none_or(|last| last.line < self.line)
            {
                self.comment_line();
            }
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => depth += 1,
                ('*', '/') => depth -= 1,
                _ => {
                    self.blank();
                    continue;
                }
            }
            self.blank();
            self.blank();
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        let (line, start) = (self.line, self.at + 1);
        self.keep();
        while self.at < self.chars.len() && self.peek(0) != '"' {
            if self.peek(0) == '\\' {
                self.blank();
            }
            self.blank();
        }
        self.literals.push((
            line,
            self.chars[start..self.at.min(self.chars.len())]
                .iter()
                .collect(),
        ));
        self.keep();
    }

    /// True at `r"` or `r#"`, also after `b` or `c`; false at the end of a name and at `r#name`.
    fn begins_raw_string(&self) -> bool {
        let mut before = self.chars[..self.at].iter().rev();
        let starts_token = match before.next() {
            Some('b' | 'c') => !before.next().copied().is_some_and(is_name),
            other => !other.copied().is_some_and(is_name),
        };
        let hashes = self.chars[self.at + 1..]
            .iter()
            .take_while(|c| **c == '#')
            .count();
        starts_token && self.peek(1 + hashes) == '"'
    }

    fn raw_string(&mut self) {
        let line = self.line;
        let hashes = self.chars[self.at + 1..]
            .iter()
            .take_while(|c| **c == '#')
            .count();
        for _ in 0..hashes + 2 {
            self.keep();
        }
        let start = self.at;
        let closes = |reader: &Reader| {
            reader.peek(0) == '"' && (1..=hashes).all(|ahead| reader.peek(ahead) == '#')
        };
        while self.at < self.chars.len() && !closes(self) {
            self.blank();
        }
        self.literals
            .push((line, self.chars[start..self.at].iter().collect()));
        for _ in 0..=hashes {
            self.keep();
        }
    }

    /// True if the quote starts a character literal, false if it starts a lifetime.
    fn is_char_literal(&self) -> bool {
        self.peek(1) == '\\' || self.peek(2) == '\''
    }

    fn char_literal(&mut self) {
        self.keep();
        if self.peek(0) == '\\' {
            self.blank();
        }
        self.blank();
        while self.at < self.chars.len() && self.peek(0) != '\'' {
            self.blank();
        }
        self.keep();
    }
}
