//! Captured calls: request and response of the calls for which prompt capture is on, sealed, in a file of its own (`capture.redb`) that is
//! in no backup. A call never waits for it: what does not fit the queue or the disk is dropped and counted, and an unreadable file
//! is discarded. The file is created by the first captured call.

mod content;
mod draft;
mod file;
mod handle;
mod media;
mod queue;
mod scrub;
#[cfg(test)]
mod tests;
mod writer;

pub use content::{CapturedCall, StoredCapture};
pub use draft::{CaptureDraft, CaptureOrigin};
pub use file::FILE;
pub use handle::Captures;
pub use queue::{CaptureBounds, CaptureStats, PurgeScope};
