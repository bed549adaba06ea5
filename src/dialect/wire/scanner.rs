//! Grammar of JSON over bytes, without values: finds the ends of strings, numbers and nested values. As strict as serde_json, which it
//! spares the common case: where it returns `None`, the caller asks serde_json, whose verdict and position count. Must never accept
//! what serde_json rejects; `reader/tests.rs` compares the two.

/// Position in a text.
#[derive(Clone, Debug)]
pub(super) struct Scanner<'t> {
    text: &'t [u8],
    at: usize,
}

/// A string between its quotes.
#[derive(Clone, Copy, Debug)]
pub(super) struct StringSpan {
    pub start: usize,
    pub end: usize,
    pub has_escapes: bool,
}

/// Deepest nesting that is followed; the bits of `open` in [`Scanner::skip_value`], and less than serde_json's own limit.
pub(super) const DEPTH_MAX: u32 = 100;
/// Strings up to this length, such as names, are searched in words.
const SHORT_BYTES: usize = 16;
const WORD_BYTES: usize = 8;

impl<'t> Scanner<'t> {
    pub fn new(text: &'t [u8], at: usize) -> Scanner<'t> {
        Scanner { text, at }
    }

    pub fn text(&self) -> &'t [u8] {
        self.text
    }

    pub fn at(&self) -> usize {
        self.at
    }

    /// Next byte that is not white space; it stays unread.
    pub fn peek(&mut self) -> Option<u8> {
        loop {
            match *self.text.get(self.at)? {
                b' ' | b'\n' | b'\t' | b'\r' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    /// Reads the next byte that is not white space.
    pub fn token(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// Reads the next token if it is this one.
    pub fn expect(&mut self, token: u8) -> Option<()> {
        (self.token()? == token).then_some(())
    }

    /// Reads white space to the end of the text.
    pub fn end(&mut self) -> Option<()> {
        self.peek().is_none().then_some(())
    }

    /// Reads the rest of a string after its first quote.
    pub fn string(&mut self) -> Option<StringSpan> {
        let start = self.at;
        let mut has_escapes = false;
        loop {
            match self.plain_part()? {
                b'"' => {
                    let end = self.at - 1;
                    return Some(StringSpan {
                        start,
                        end,
                        has_escapes,
                    });
                }
                _ => self.escape()?,
            }
            has_escapes = true;
        }
    }

    /// Reads up to a quote or backslash, which is returned. Control characters are invalid.
    fn plain_part(&mut self) -> Option<u8> {
        let rest = &self.text[self.at..];
        let (words, end) = rest[..rest.len().min(SHORT_BYTES)].as_chunks::<WORD_BYTES>();
        let in_words = words.iter().enumerate().find_map(|(word, bytes)| {
            let place = first_special(*bytes)?;
            Some(word * WORD_BYTES + place)
        });
        let in_end = || {
            let place = end.iter().position(|byte| is_special(*byte))?;
            Some(words.len() * WORD_BYTES + place)
        };
        if let Some(place) = in_words.or_else(in_end) {
            self.at += place + 1;
            return Some(rest[place]).filter(|byte| *byte >= 0x20);
        }
        let long = rest.get(SHORT_BYTES..)?;
        let place = memchr::memchr2(b'"', b'\\', long)?;
        if has_control(&long[..place]) {
            return None;
        }
        self.at += SHORT_BYTES + place + 1;
        Some(long[place])
    }

    /// Reads the rest of an escape after its backslash. Half surrogates are left to whoever decodes the string.
    fn escape(&mut self) -> Option<()> {
        let letter = *self.text.get(self.at)?;
        self.at += 1;
        match letter {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let digits = self.text.get(self.at..self.at + 4)?;
                self.at += 4;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }

    /// Reads the rest of a number after its first byte.
    pub fn number(&mut self, first: u8) -> Option<()> {
        let leading = match first {
            b'-' => {
                self.at += 1;
                *self.text.get(self.at - 1)?
            }
            digit => digit,
        };
        match leading {
            b'0' => {
                if self.next_is(u8::is_ascii_digit) {
                    return None;
                }
            }
            b'1'..=b'9' => self.digits(),
            _ => return None,
        }
        if self.next_is(|byte| *byte == b'.') {
            self.at += 1;
            self.digits_of_part()?;
        }
        if self.next_is(|byte| matches!(byte, b'e' | b'E')) {
            self.at += 1;
            if self.next_is(|byte| matches!(byte, b'+' | b'-')) {
                self.at += 1;
            }
            self.digits_of_part()?;
        }
        Some(())
    }

    fn digits_of_part(&mut self) -> Option<()> {
        let start = self.at;
        self.digits();
        (self.at > start).then_some(())
    }

    fn digits(&mut self) {
        while self.next_is(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn next_is(&self, is_wanted: impl Fn(&u8) -> bool) -> bool {
        self.text.get(self.at).is_some_and(is_wanted)
    }

    /// Reads the rest of `null`, `true` or `false` after its first letter.
    pub fn literal(&mut self, rest: &[u8]) -> Option<()> {
        let found = self.text.get(self.at..self.at + rest.len())?;
        self.at += rest.len();
        (found == rest).then_some(())
    }

    /// Reads one value of at most so many levels.
    pub fn skip_value(&mut self, depth_max: u32) -> Option<()> {
        // one bit per level, the innermost lowest: 1 for an object
        let (mut open, mut depth) = (0_u128, 0);
        loop {
            match self.token()? {
                b'"' => drop(self.string()?),
                bracket @ (b'{' | b'[') => {
                    let is_object = bracket == b'{';
                    if depth == depth_max.min(DEPTH_MAX) {
                        return None;
                    }
                    // the closing bracket of either kind is two behind the opening one
                    if self.peek()? == bracket + 2 {
                        self.at += 1;
                    } else {
                        (open, depth) = (open << 1 | u128::from(is_object), depth + 1);
                        if is_object {
                            self.name()?;
                        }
                        continue;
                    }
                }
                b'n' => self.literal(b"ull")?,
                b't' => self.literal(b"rue")?,
                b'f' => self.literal(b"alse")?,
                byte => self.number(byte)?,
            }
            // a value has ended, and with it perhaps those around it
            loop {
                if depth == 0 {
                    return Some(());
                }
                match (self.token()?, open & 1 == 1) {
                    (b',', true) => break self.name()?,
                    (b',', false) => break,
                    (b'}', true) | (b']', false) => (open, depth) = (open >> 1, depth - 1),
                    _ => return None,
                }
            }
        }
    }

    /// Reads a name and its colon.
    fn name(&mut self) -> Option<()> {
        self.expect(b'"')?;
        self.string()?;
        self.expect(b':')
    }
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..0x20)
}

/// Place of the first special byte in a word. A byte with its highest bit set is none; a borrow reaches only bytes behind a special
/// one, so the lowest bit found is right.
fn first_special(word: [u8; WORD_BYTES]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    let word = u64::from_le_bytes(word);
    let is_below =
        |word: u64, bound: u8| word.wrapping_sub(ONES * u64::from(bound)) & !word & HIGHS;
    let is_byte = |byte: u8| is_below(word ^ (ONES * u64::from(byte)), 1);
    let found = is_byte(b'"') | is_byte(b'\\') | is_below(word, 0x20);
    (found != 0).then(|| found.trailing_zeros() as usize / 8)
}

/// Searches 32 bytes at a time without a branch, which compilers turn into vector instructions.
fn has_control(bytes: &[u8]) -> bool {
    let any = |bytes: &[u8]| bytes.iter().fold(false, |any, byte| any | (*byte < 0x20));
    let (chunks, rest) = bytes.as_chunks::<32>();
    chunks.iter().any(|chunk| any(chunk)) || any(rest)
}
