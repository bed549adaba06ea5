//! Rules on size: lines of a file, lines of a function, share of short functions. Input is one file or all files of
//! `src`; the result lists the faults. Lines are counted as rustfmt leaves them; it must never reformat.

use super::source::{Source, item_end, line_at, words};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const SHORT_FUNCTION_LINES: usize = 28;
/// share of short functions
const SHORT_PERCENT_MIN: usize = 90;

/// Files of data without logic that may be longer: path, reason.
const DATA_FILES: &[(&str, &str)] = &[];

struct Function {
    name: String,
    line: usize,
    lines: usize,
}

/// A file has at most 500 lines.
pub fn file_length(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().count();
    let is_data = DATA_FILES.iter().any(|(file, _)| *file == path);
    let fault = (lines > FILE_LINES_MAX && !is_data)
        .then(|| format!("{path}: {lines} lines; {FILE_LINES_MAX} at most"));
    fault.into_iter().collect()
}

/// A function has at most 70 lines.
pub fn function_length(path: &str, text: &str) -> Vec<String> {
    let long = functions(text)
        .into_iter()
        .filter(|function| function.lines > FUNCTION_LINES_MAX);
    long.map(|Function { name, line, lines }| {
        format!("{path}:{line}: `{name}` has {lines} lines; {FUNCTION_LINES_MAX} at most")
    })
    .collect()
}

/// Most functions have at most 28 lines.
pub fn share_of_short_functions<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    let lengths: Vec<usize> = texts
        .flat_map(functions)
        .map(|function| function.lines)
        .collect();
    let short = lengths
        .iter()
        .filter(|lines| **lines <= SHORT_FUNCTION_LINES)
        .count();
    let fault = (short * 100 < lengths.len() * SHORT_PERCENT_MIN).then(|| {
        format!(
            "{short} of {} functions have at most {SHORT_FUNCTION_LINES} lines; {SHORT_PERCENT_MIN} % must",
            lengths.len()
        )
    });
    fault.into_iter().collect()
}

/// Functions with a body, from the line of `fn` to that of the closing brace.
fn functions(text: &str) -> Vec<Function> {
    let code = Source::read(text).code;
    let tokens: Vec<(usize, &str)> = words(&code).collect();
    let named = tokens.windows(2).filter(|pair| {
        pair[0].1 == "fn"
            && pair[1]
                .1
                .starts_with(|c: char| c.is_alphabetic() || c == '_')
    });
    let functions = named.filter_map(|pair| {
        let (start, name) = (pair[0].0, pair[1].1.to_owned());
        let body = start + body_offset(&code[start..])?;
        let (line, last) = (
            line_at(&code, start),
            line_at(&code, item_end(&code, body) - 1),
        );
        Some(Function {
            name,
            line,
            lines: last - line + 1,
        })
    });
    functions.collect()
}

/// Byte offset of the body; `None` for a declaration that ends with `;`.
fn body_offset(signature: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in signature.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '{' if depth == 0 => return Some(at),
            ';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

#[test]
fn file_over_limit_is_reported() {
    assert_eq!(
        file_length("a.rs", &"\n".repeat(FILE_LINES_MAX + 1)).len(),
        1
    );
    assert_eq!(file_length("a.rs", &"\n".repeat(FILE_LINES_MAX)).len(), 0);
}

#[test]
fn function_over_limit_is_reported() {
    let function =
        |lines: usize| format!("fn f(a: [u8; 2]) {{{}}}\nfn g();", "\n".repeat(lines - 1));
    assert_eq!(
        function_length("a.rs", &function(FUNCTION_LINES_MAX + 1)).len(),
        1
    );
    assert_eq!(
        function_length("a.rs", &function(FUNCTION_LINES_MAX)).len(),
        0
    );
}

#[test]
fn too_few_short_functions_are_reported() {
    let long = format!("fn f() {{{}}}", "\n".repeat(SHORT_FUNCTION_LINES));
    let short = "fn f() {}\n";
    let faults =
        |count| share_of_short_functions([&*long, &*short.repeat(count)].into_iter()).len();
    assert_eq!(faults(1), 1);
    assert_eq!(faults(99), 0);
}
