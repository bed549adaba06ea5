//! The coding `zstd`, with windows of at most 8 MiB (RFC 9659).

use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use super::coding::{Coding, CodingStep, Flaw};

const WINDOW_LOG_MAX: u32 = 23;

pub(super) struct Zstandard(DCtx<'static>);

impl Zstandard {
    pub(super) fn new() -> Option<Zstandard> {
        let mut context = DCtx::try_create()?;
        let bounded = context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX));
        bounded.ok().map(|_| Zstandard(context))
    }
}

impl Coding for Zstandard {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<CodingStep, Flaw> {
        let mut input = InBuffer::around(input);
        let mut output = OutBuffer::around(output);
        let left = self.0.decompress_stream(&mut output, &mut input);
        let left = left.map_err(|_| Flaw)?;
        Ok(CodingStep {
            read: input.pos(),
            written: output.pos(),
            ended: left == 0,
        })
    }

    fn restart(&mut self) -> bool {
        true
    }
}
