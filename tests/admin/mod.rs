//! Administration as a person does it: the command line, what it says when something is wrong, what every change leaves
//! behind, and what it never does.

mod audit;
mod check;
mod demo;
mod init;
mod keys;
mod secrets;

use std::process::Output;

/// What a command said, and how it ended.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Said {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said {
            code: output.status.code(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }
}

impl Said {
    /// Panics with everything that was said unless the command ended so.
    #[track_caller]
    fn ends(self, code: i32) -> Said {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }

    /// Every part must stand in what was said on this side.
    #[track_caller]
    fn says(self, parts: &[&str]) -> Said {
        parts.iter().for_each(|part| {
            assert!(
                self.out.contains(part),
                "`{part}` is missing in: {}{}",
                self.out,
                self.err
            )
        });
        self
    }

    #[track_caller]
    fn complains(self, parts: &[&str]) -> Said {
        parts.iter().for_each(|part| {
            assert!(
                self.err.contains(part),
                "`{part}` is missing in: {}{}",
                self.out,
                self.err
            )
        });
        self
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("not JSON: {}", self.out))
    }

    /// The first word that begins so.
    #[track_caller]
    fn as_str(&self, begin: &str) -> String {
        let word = self
            .out
            .split(|c: char| c.is_whitespace() || "()'\",".contains(c))
            .find(|word| word.starts_with(begin));
        word.unwrap_or_else(|| panic!("no `{begin}…` in: {}", self.out))
            .to_owned()
    }
}
