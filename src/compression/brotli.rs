//! The coding `br`, with windows of at most 16 MiB.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::coding::{Coding, CodingStep, Flaw};

pub(super) struct Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>);

impl Default for Brotli {
    fn default() -> Brotli {
        let memory = StandardAlloc::default;
        Brotli(Box::new(BrotliState::new_strict(
            memory(),
            memory(),
            memory(),
        )))
    }
}

impl Coding for Brotli {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<CodingStep, Flaw> {
        let (mut input_left, mut read) = (input.len(), 0);
        let (mut output_left, mut written, mut total) = (output.len(), 0, 0);
        let result = BrotliDecompressStream(
            &mut input_left,
            &mut read,
            input,
            &mut output_left,
            &mut written,
            output,
            &mut total,
            &mut self.0,
        );
        match result {
            BrotliResult::ResultFailure => Err(Flaw),
            result => Ok(CodingStep {
                read,
                written,
                ended: matches!(result, BrotliResult::ResultSuccess),
            }),
        }
    }
}
