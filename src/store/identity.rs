//! Identity of the books: instance, generation, and the last record of the log that they contain.

/// Written into every segment header, so that a foreign log is refused.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Identity {
    pub instance: [u8; 16],
    /// raised by a restore
    pub generation: u32,
    /// last record of the log that is posted
    pub applied: u64,
}
