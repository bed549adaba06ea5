//! Reader of the data file that `packaging/embedder/convert.py` writes: takes its parts in order and leaves the large ones in place,
//! in the pages of the executable, which the system reads when they are used and may drop at any time.

/// Rows of i8 with a scale each.
pub struct Matrix {
    pub rows: &'static [u8],
    pub scales: Vec<f32>,
    pub width: usize,
}

/// Rows of 4-bit values: a value is its row's scale times the factor of its group times (nibble - 8).
pub struct NibbleMatrix {
    rows: &'static [u8],
    factors: &'static [u8],
    scales: &'static [u8],
}

/// Position in the data file. The file is a part of the executable, and a test compares its hash: a part that is missing is a
/// fault of the build and panics.
pub struct Layout {
    rest: &'static [u8],
}

const IS_WHOLE: &str = "the embedded data file is whole, because a test compares its hash";
const MAGIC: &[u8] = b"GKEMBED1";
/// Values of a row that share a factor.
const GROUP: usize = 32;

impl Layout {
    pub fn open(file: &'static [u8]) -> Layout {
        Layout {
            rest: file.strip_prefix(MAGIC).expect(IS_WHOLE),
        }
    }

    pub fn bytes(&mut self, count: usize) -> &'static [u8] {
        let (taken, rest) = self.rest.split_at_checked(count).expect(IS_WHOLE);
        self.rest = rest;
        taken
    }

    pub fn number(&mut self) -> usize {
        let bytes = self.bytes(4).try_into().expect(IS_WHOLE);
        usize::try_from(u32::from_le_bytes(bytes)).expect(IS_WHOLE)
    }

    pub fn floats(&mut self, count: usize) -> Vec<f32> {
        let values = self.bytes(count * 4).as_chunks().0;
        values
            .iter()
            .map(|value| f32::from_le_bytes(*value))
            .collect()
    }

    pub fn matrix(&mut self, rows: usize, width: usize) -> Matrix {
        let scales = self.floats(rows);
        Matrix {
            rows: self.bytes(rows * width),
            scales,
            width,
        }
    }

    pub fn nibble_matrix(&mut self, rows: usize, width: usize) -> NibbleMatrix {
        let scales = self.bytes(rows * 4);
        let factors = self.bytes(rows * width / GROUP / 2);
        NibbleMatrix {
            rows: self.bytes(rows * width / 2),
            factors,
            scales,
        }
    }

    /// Nothing is left.
    pub fn close(self) {
        assert!(self.rest.is_empty(), "{IS_WHOLE}");
    }
}

impl Matrix {
    /// Adds a row to `sums`.
    pub fn add_row(&self, index: usize, sums: &mut [f32]) {
        let row = &self.rows[index * self.width..][..self.width];
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += self.scales[index] * f32::from(value.cast_signed());
        }
    }
}

impl NibbleMatrix {
    /// Adds a row to `sums`.
    pub fn add_row(&self, index: usize, sums: &mut [f32]) {
        let width = sums.len();
        let scale = self.scales.as_chunks().0[index];
        let scale = f32::from_le_bytes(scale);
        let factors = &self.factors[index * width / GROUP / 2..];
        let row = &self.rows[index * width / 2..];
        for (at, sum) in sums.iter_mut().enumerate() {
            let step = scale * f32::from(nibble(factors, at / GROUP));
            *sum += step * (f32::from(nibble(row, at)) - 8.0);
        }
    }
}

fn nibble(bytes: &[u8], at: usize) -> u8 {
    (bytes[at / 2] >> (4 * (at % 2))) & 0xF
}
