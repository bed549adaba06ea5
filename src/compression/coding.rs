//! Interface of the decoders: steps that read and write as much as there is room for.

/// One step of a decoder: bytes read and written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CodingStep {
    pub(super) read: usize,
    pub(super) written: usize,
    /// the coded data ended after these bytes
    pub(super) ended: bool,
}

/// Decoder of one coding. Reads as little as nothing, and fills the output before it asks for more input.
pub(super) trait Coding {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<CodingStep, Flaw>;

    /// Prepares for coded data after an end; false where nothing may follow.
    fn restart(&mut self) -> bool {
        false
    }
}

/// Coded data that cannot be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flaw;
