//! The coding `gzip`: members with a head, deflated data, and a trailer with checksum and length.

use flate2::Decompress;

use super::coding::{Coding, CodingStep, Flaw};
use super::deflate::inflate;

/// Bound of a head, whose name and comment have no length.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const FIXED_BYTES: usize = 10;
const TRAILER_BYTES: usize = 8;

const HAS_CHECKSUM: u8 = 1 << 1;
const HAS_EXTRA: u8 = 1 << 2;
const HAS_NAME: u8 = 1 << 3;
const HAS_COMMENT: u8 = 1 << 4;

pub(super) struct Gzip {
    part: Part,
    /// start of an incomplete head or trailer
    held: Vec<u8>,
    data: Decompress,
    checksum: crc32fast::Hasher,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Head,
    Data,
    Trailer,
}

impl Default for Gzip {
    fn default() -> Gzip {
        Gzip {
            part: Part::Head,
            held: Vec::new(),
            data: Decompress::new(false),
            checksum: crc32fast::Hasher::new(),
        }
    }
}

impl Coding for Gzip {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<CodingStep, Flaw> {
        match self.part {
            Part::Head => self.head(input),
            Part::Data => self.data(input, output),
            Part::Trailer => self.trailer(input),
        }
    }

    fn restart(&mut self) -> bool {
        *self = Gzip::default();
        true
    }
}

impl Gzip {
    fn head(&mut self, input: &[u8]) -> Result<CodingStep, Flaw> {
        let before = self.held.len();
        self.held.extend_from_slice(input);
        let read = match head_length(&self.held)? {
            Some(length) => {
                self.held.clear();
                self.part = Part::Data;
                length - before
            }
            None if self.held.len() > HEAD_BYTES_MAX => return Err(Flaw),
            None => input.len(),
        };
        Ok(CodingStep {
            read,
            ..CodingStep::default()
        })
    }

    fn data(&mut self, input: &[u8], output: &mut [u8]) -> Result<CodingStep, Flaw> {
        let step = inflate(&mut self.data, input, output)?;
        self.checksum.update(&output[..step.written]);
        if step.ended {
            self.part = Part::Trailer;
        }
        // the trailer is still to come
        Ok(CodingStep {
            ended: false,
            ..step
        })
    }

    fn trailer(&mut self, input: &[u8]) -> Result<CodingStep, Flaw> {
        let read = input.len().min(TRAILER_BYTES - self.held.len());
        self.held.extend_from_slice(&input[..read]);
        let Ok(trailer) = <[u8; TRAILER_BYTES]>::try_from(self.held.as_slice()) else {
            return Ok(CodingStep {
                read,
                ..CodingStep::default()
            });
        };
        let checksum = self.checksum.clone().finalize().to_le_bytes();
        let length = (self.data.total_out() as u32).to_le_bytes();
        if trailer != [checksum, length].concat()[..] {
            return Err(Flaw);
        }
        Ok(CodingStep {
            read,
            written: 0,
            ended: true,
        })
    }
}

/// Length of a complete head.
fn head_length(held: &[u8]) -> Result<Option<usize>, Flaw> {
    let begin = [0x1f, 0x8b, 8];
    if held.iter().zip(begin).any(|(byte, wanted)| *byte != wanted) {
        return Err(Flaw);
    }
    let Some(flags) = held.get(3).filter(|_| held.len() >= FIXED_BYTES) else {
        return Ok(None);
    };
    let mut at = FIXED_BYTES;
    if flags & HAS_EXTRA != 0 {
        let Some(length) = held.get(at..at + 2) else {
            return Ok(None);
        };
        at += 2 + usize::from(u16::from_le_bytes([length[0], length[1]]));
    }
    for text in [HAS_NAME, HAS_COMMENT] {
        if flags & text != 0 {
            let rest = held.get(at..).unwrap_or_default();
            let Some(end) = memchr::memchr(0, rest) else {
                return Ok(None);
            };
            at += end + 1;
        }
    }
    if flags & HAS_CHECKSUM != 0 {
        at += 2;
    }
    Ok((at <= held.len()).then_some(at))
}
