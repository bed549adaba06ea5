//! provider
/// stub
#[derive(Debug)]
pub struct Preset;
