//! Vector of a text: small integers that keep its direction, and the cosine of two of them.

use super::model::WIDTH;

/// Direction of a text. Its bytes are what is stored; the scale follows from them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vector {
    /// Two's complement.
    bytes: Box<[u8; WIDTH]>,
}

impl Vector {
    /// Values of each vector, one byte each.
    pub const BYTES: usize = WIDTH;

    pub(super) fn from_values(values: &[f32; WIDTH]) -> Vector {
        let largest = values
            .iter()
            .fold(0.0_f32, |largest, value| largest.max(value.abs()));
        // a vector of zeros does not occur: the layer norm before it has a bias
        let factor = 127.0 / largest.max(f32::MIN_POSITIVE);
        let code = |value: f32| ((value * factor).round() as i8).cast_unsigned();
        Vector {
            bytes: Box::new(values.map(code)),
        }
    }

    /// `None` for another length: stored by another version, or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Option<Vector> {
        Some(Vector {
            bytes: Box::new(bytes.try_into().ok()?),
        })
    }

    pub fn as_bytes(&self) -> &[u8] {
        &*self.bytes
    }

    /// Values for [`crate::cache::simd::products`].
    pub(in crate::cache) fn values(&self) -> Vec<i16> {
        self.bytes
            .iter()
            .map(|byte| i16::from(byte.cast_signed()))
            .collect()
    }

    /// One by the length of the vector; 0 for a vector of zeros, so that it is like nothing.
    pub(in crate::cache) fn inverse_length(&self) -> f32 {
        let square = |byte: &u8| i32::from(byte.cast_signed()).pow(2);
        match self.bytes.iter().map(square).sum() {
            0 => 0.0,
            squares => 1.0 / (squares as f32).sqrt(),
        }
    }
}
