//! Decoder of one body, in the coding that its header states.

use bytes::{Buf, Bytes};

use super::coding::{Coding, Flaw};
use super::{brotli, deflate, gzip, zstandard};

/// Codings that are decoded, as an `accept-encoding` header lists them.
const ACCEPTED: &str = "gzip, deflate, zstd, br";
/// Longest piece of decoded bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// A coding that is not decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown content-encoding `{0}`; use one of {ACCEPTED}, or none")]
pub struct UnknownCoding(String);

/// A body that is not in the coding that its header states, or that ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodingError {
    #[error("not valid {0}")]
    Malformed(&'static str),
    #[error("incomplete {0}")]
    Truncated(&'static str),
}

/// Decoder of one body.
pub struct BodyDecoder {
    name: &'static str,
    coding: Box<dyn Coding>,
    input: Bytes,
    output: Box<[u8]>,
    /// the last step filled the output: more may come without more input
    is_full: bool,
    ended: bool,
    received: bool,
}

impl BodyDecoder {
    /// Decoder for a `content-encoding`; `None` for a body that is not coded.
    pub fn of(content_encoding: &str) -> Result<Option<BodyDecoder>, UnknownCoding> {
        let unknown = || {
            let shown = content_encoding.chars().take(40);
            UnknownCoding(shown.filter(|letter| !letter.is_control()).collect())
        };
        let word = content_encoding.trim().to_ascii_lowercase();
        let (name, coding): (_, Box<dyn Coding>) = match word.as_str() {
            "" | "identity" => return Ok(None),
            "gzip" | "x-gzip" => ("gzip", Box::new(gzip::Gzip::default())),
            "deflate" => ("deflate", Box::new(deflate::Deflate::default())),
            "zstd" => (
                "zstd",
                Box::new(zstandard::Zstandard::new().ok_or_else(unknown)?),
            ),
            "br" => ("br", Box::new(brotli::Brotli::default())),
            _ => return Err(unknown()),
        };
        Ok(Some(BodyDecoder {
            name,
            coding,
            input: Bytes::new(),
            output: vec![0; PIECE_BYTES].into(),
            is_full: false,
            ended: false,
            received: false,
        }))
    }

    /// Takes the next bytes of the coded body, once all decoded pieces before them are read.
    pub fn push(&mut self, bytes: Bytes) {
        self.received |= !bytes.is_empty();
        self.input = match self.input.is_empty() {
            true => bytes,
            false => [&self.input[..], &bytes[..]].concat().into(),
        };
    }

    /// Next piece of the decoded body; `None` until more of the coded body is there.
    pub fn next_piece(&mut self) -> Result<Option<Bytes>, CodingError> {
        let malformed = CodingError::Malformed(self.name);
        while self.is_full || !self.input.is_empty() {
            if self.ended && !self.input.is_empty() {
                if !self.coding.restart() {
                    return Err(malformed);
                }
                self.ended = false;
            }
            let step = self.coding.step(&self.input, &mut self.output);
            let step = step.map_err(|Flaw| malformed)?;
            self.input.advance(step.read);
            self.is_full = step.written == self.output.len() && !step.ended;
            self.ended = step.ended;
            if step.written > 0 {
                return Ok(Some(Bytes::copy_from_slice(&self.output[..step.written])));
            }
            if step.read == 0 && !step.ended {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Checks that the coded body is complete. A body without a byte is empty.
    pub fn finish(&self) -> Result<(), CodingError> {
        match self.ended || !self.received {
            true => Ok(()),
            false => Err(CodingError::Truncated(self.name)),
        }
    }
}

#[cfg(test)]
mod tests;
