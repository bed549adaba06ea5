//! The coding `deflate`: zlib's format, or the bare data that some clients send under this name.

use flate2::{Decompress, FlushDecompress, Status};

use super::coding::{Coding, CodingStep, Flaw};

#[derive(Default)]
pub(super) struct Deflate {
    data: Option<Decompress>,
}

impl Coding for Deflate {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<CodingStep, Flaw> {
        let data = match (&mut self.data, input.first()) {
            (Some(data), _) => data,
            (None, None) => return Ok(CodingStep::default()),
            (none, Some(first)) => none.insert(Decompress::new(is_zlib(*first))),
        };
        inflate(data, input, output)
    }
}

/// The first byte names zlib's method and a window of at most 32 KiB.
fn is_zlib(first: u8) -> bool {
    first & 0x0f == 8 && first >> 4 <= 7
}

pub(super) fn inflate(
    data: &mut Decompress,
    input: &[u8],
    output: &mut [u8],
) -> Result<CodingStep, Flaw> {
    let (before_in, before_out) = (data.total_in(), data.total_out());
    let status = data.decompress(input, output, FlushDecompress::None);
    let status = status.map_err(|_| Flaw)?;
    Ok(CodingStep {
        read: (data.total_in() - before_in) as usize,
        written: (data.total_out() - before_out) as usize,
        ended: status == Status::StreamEnd,
    })
}
