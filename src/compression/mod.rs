//! Content codings of HTTP bodies: gzip, deflate, zstd and br. Decodes a body that comes in any pieces as far as it has come, in pieces
//! of bounded size, so that a short body that stands for a long one takes no memory. Encodes nothing.

mod body_decoder;
mod brotli;
mod coding;
mod deflate;
mod embedded;
mod gzip;
mod zstandard;

pub use body_decoder::{BodyDecoder, CodingError, UnknownCoding};
pub use embedded::embedded_text;
