//! Facts of the moment and the request that a choice among targets depends on.

#[derive(Clone, Copy, Debug, Default)]
pub struct Moment {
    pub boot_ms: u64,
    /// any number
    pub random: u64,
    /// hash of the conversation, for routes with affinity
    pub conversation: Option<u64>,
    /// estimate of the input, for bounds of tokens per minute
    pub tokens: u64,
}

/// Mixes the bits of a number (splitmix64).
pub fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
