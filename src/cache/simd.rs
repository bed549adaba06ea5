//! Products of small integers: sums of i16 times i8, exact in 32 bits, for the embedder's matrices and the search of vectors.
//! AVX2 is used where the processor has it, else portable code with the same results; nothing else of the crate has
//! instructions of its own.
#![allow(
    unsafe_code,
    reason = "loads of vector registers and the call into code compiled for AVX2"
)]

/// Values per step: widths are multiples of it.
pub const STEP: usize = 16;
/// Rows of the left side that are multiplied at once.
pub const TILE_LINES: usize = 4;
/// Largest width for which a sum of products of two bytes fits into 32 bits with room.
const WIDTH_MAX: usize = 1 << 16;

/// Writes the products of each row of `left` with each row of `right`, both `width` wide: `out[l * rows of right + r]`.
/// `left` has values of -128 to 127; the bytes of `right` are two's complement.
///
/// # Panics
/// If the lengths do not fit each other.
pub fn products(left: &[i16], right: &[u8], width: usize, out: &mut [i32]) {
    assert!(width > 0 && width.is_multiple_of(STEP) && width <= WIDTH_MAX);
    assert!(left.len().is_multiple_of(width) && right.len().is_multiple_of(width));
    assert_eq!(out.len(), (left.len() / width) * (right.len() / width));
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, and the asserts above are the conditions of `avx2::products`
        unsafe { avx2::products(left, right, width, out) };
        return;
    }
    portable(left, right, width, out);
}

fn portable(left: &[i16], right: &[u8], width: usize, out: &mut [i32]) {
    let rows = right.len() / width;
    for (row, right) in right.chunks_exact(width).enumerate() {
        for (line, left) in left.chunks_exact(width).enumerate() {
            let products = left
                .iter()
                .zip(right)
                .map(|(a, b)| i32::from(*a) * i32::from(b.cast_signed()));
            out[line * rows + row] = products.sum();
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    //! Tiles of sums that stay in registers. Four lines with two rows are most of the embedder's work, and are assembly: as intrinsics
    //! they would cost a hundred times as much in a build without optimization, and the tests run in one.

    use std::arch::asm;
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_loadu_si128, _mm_shuffle_epi32,
        _mm256_add_epi32, _mm256_castsi256_si128, _mm256_cvtepi8_epi16, _mm256_extracti128_si256,
        _mm256_loadu_si256, _mm256_madd_epi16, _mm256_setzero_si256,
    };

    use super::STEP;

    /// # Safety
    /// The processor has AVX2; `width` is a multiple of [`STEP`]; both sides consist of whole rows, and `out` has a place
    /// for each pair of rows.
    #[target_feature(enable = "avx2")]
    pub unsafe fn products(left: &[i16], right: &[u8], width: usize, out: &mut [i32]) {
        let (lines, rows) = (left.len() / width, right.len() / width);
        let mut tile = Tile {
            left,
            right,
            width,
            rows,
            out,
        };
        let (whole_lines, whole_rows) = (lines - lines % 4, rows - rows % 4);
        // SAFETY: each tile lies within the rows of both sides
        unsafe {
            for row in (0..whole_rows).step_by(2) {
                for line in (0..whole_lines).step_by(4) {
                    tile.fill_4_by_2(line, row);
                }
            }
            for line in whole_lines..lines {
                for row in (0..whole_rows).step_by(4) {
                    tile.fill::<1, 4>(line, row);
                }
            }
            for row in whole_rows..rows {
                for line in 0..lines {
                    tile.fill::<1, 1>(line, row);
                }
            }
        }
    }

    struct Tile<'a> {
        left: &'a [i16],
        right: &'a [u8],
        width: usize,
        rows: usize,
        out: &'a mut [i32],
    }

    impl Tile<'_> {
        /// # Safety
        /// The processor has AVX2; `line + 4` rows are on the left side and `row + 2` on the right.
        #[target_feature(enable = "avx2")]
        unsafe fn fill_4_by_2(&mut self, line: usize, row: usize) {
            let mut sums = [[0_i32; 8]; 8];
            let left = self.left[line * self.width..(line + 4) * self.width].as_ptr();
            let right = self.right[row * self.width..(row + 2) * self.width].as_ptr();
            // SAFETY: reads STEP values of each row per round, and the width is a multiple of STEP above 0; writes `sums`; every
            // register that it changes is named
            unsafe {
                asm!(
                    "vpxor ymm0, ymm0, ymm0",
                    "vpxor ymm1, ymm1, ymm1",
                    "vpxor ymm2, ymm2, ymm2",
                    "vpxor ymm3, ymm3, ymm3",
                    "vpxor ymm4, ymm4, ymm4",
                    "vpxor ymm5, ymm5, ymm5",
                    "vpxor ymm6, ymm6, ymm6",
                    "vpxor ymm7, ymm7, ymm7",
                    "2:",
                    "vpmovsxbw ymm8, xmmword ptr [{right}]",
                    "vpmovsxbw ymm9, xmmword ptr [{right} + {width}]",
                    "vmovdqu ymm10, ymmword ptr [{first}]",
                    "vpmaddwd ymm11, ymm10, ymm8",
                    "vpaddd ymm0, ymm0, ymm11",
                    "vpmaddwd ymm12, ymm10, ymm9",
                    "vpaddd ymm1, ymm1, ymm12",
                    "vmovdqu ymm13, ymmword ptr [{first} + 2*{width}]",
                    "vpmaddwd ymm14, ymm13, ymm8",
                    "vpaddd ymm2, ymm2, ymm14",
                    "vpmaddwd ymm15, ymm13, ymm9",
                    "vpaddd ymm3, ymm3, ymm15",
                    "vmovdqu ymm10, ymmword ptr [{third}]",
                    "vpmaddwd ymm11, ymm10, ymm8",
                    "vpaddd ymm4, ymm4, ymm11",
                    "vpmaddwd ymm12, ymm10, ymm9",
                    "vpaddd ymm5, ymm5, ymm12",
                    "vmovdqu ymm13, ymmword ptr [{third} + 2*{width}]",
                    "vpmaddwd ymm14, ymm13, ymm8",
                    "vpaddd ymm6, ymm6, ymm14",
                    "vpmaddwd ymm15, ymm13, ymm9",
                    "vpaddd ymm7, ymm7, ymm15",
                    "add {right}, 16",
                    "add {first}, 32",
                    "add {third}, 32",
                    "sub {left_over}, 16",
                    "jnz 2b",
                    "vmovdqu ymmword ptr [{sums}], ymm0",
                    "vmovdqu ymmword ptr [{sums} + 32], ymm1",
                    "vmovdqu ymmword ptr [{sums} + 64], ymm2",
                    "vmovdqu ymmword ptr [{sums} + 96], ymm3",
                    "vmovdqu ymmword ptr [{sums} + 128], ymm4",
                    "vmovdqu ymmword ptr [{sums} + 160], ymm5",
                    "vmovdqu ymmword ptr [{sums} + 192], ymm6",
                    "vmovdqu ymmword ptr [{sums} + 224], ymm7",
                    "vzeroupper",
                    right = inout(reg) right => _,
                    first = inout(reg) left => _,
                    third = inout(reg) left.add(2 * self.width) => _,
                    left_over = inout(reg) self.width => _,
                    width = in(reg) self.width,
                    sums = in(reg) sums.as_mut_ptr(),
                    out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _,
                    out("ymm4") _, out("ymm5") _, out("ymm6") _, out("ymm7") _,
                    out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
                    out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
                    options(nostack),
                );
            }
            for (index, sums) in sums.iter().enumerate() {
                self.out[(line + index / 2) * self.rows + row + index % 2] = sums.iter().sum();
            }
        }

        /// # Safety
        /// The processor has AVX2; `line + L` rows are on the left side and `row + R` on the right.
        #[target_feature(enable = "avx2")]
        unsafe fn fill<const L: usize, const R: usize>(&mut self, line: usize, row: usize) {
            let mut sums = [[_mm256_setzero_si256(); R]; L];
            let left = self.left[line * self.width..(line + L) * self.width].as_ptr();
            let right = self.right[row * self.width..(row + R) * self.width].as_ptr();
            for at in (0..self.width).step_by(STEP) {
                let mut values = [_mm256_setzero_si256(); R];
                for (r, value) in values.iter_mut().enumerate() {
                    // SAFETY: `at + STEP` is at most `width`, and the slice has `R` rows of `width` bytes
                    let bytes = unsafe {
                        _mm_loadu_si128(right.add(r * self.width + at).cast::<__m128i>())
                    };
                    *value = _mm256_cvtepi8_epi16(bytes);
                }
                for (l, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: as above, with `L` rows of `width` values of 16 bits
                    let factor = unsafe {
                        _mm256_loadu_si256(left.add(l * self.width + at).cast::<__m256i>())
                    };
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(factor, value));
                    }
                }
            }
            for (l, sums) in sums.iter().enumerate() {
                for (r, sum) in sums.iter().enumerate() {
                    self.out[(line + l) * self.rows + row + r] = total(*sum);
                }
            }
        }
    }

    /// Sum of the eight values of a register.
    #[target_feature(enable = "avx2")]
    fn total(sums: __m256i) -> i32 {
        let four = _mm_add_epi32(
            _mm256_castsi256_si128(sums),
            _mm256_extracti128_si256::<1>(sums),
        );
        let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
        _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two)))
    }
}

#[cfg(test)]
mod tests {
    //! Both ways of multiplying against each other, for all shapes of tiles and their rests.

    use super::*;

    /// Bytes that look random and include both ends.
    fn bytes(count: usize, seed: u32) -> Vec<u8> {
        let mut state = seed;
        let next = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        });
        next.take(count).collect()
    }

    #[test]
    fn products_of_every_shape_equal_portable_products() {
        for (lines, rows) in [(1, 1), (1, 7), (3, 4), (4, 5), (5, 8), (8, 2), (9, 11)] {
            for width in [16, 48, 384] {
                let left: Vec<i16> = bytes(lines * width, 1)
                    .into_iter()
                    .map(|value| i16::from(value.cast_signed()))
                    .collect();
                let right = bytes(rows * width, 2);
                let (mut fast, mut slow) = (vec![0; lines * rows], vec![1; lines * rows]);
                products(&left, &right, width, &mut fast);
                portable(&left, &right, width, &mut slow);
                assert_eq!(fast, slow, "{lines} x {rows}, width {width}");
            }
        }
    }

    #[test]
    fn products_of_extreme_values_do_not_overflow() {
        let (left, right) = (vec![-128; 1536], vec![0x80; 1536]);
        let mut out = [0];
        products(&left, &right, 1536, &mut out);
        assert_eq!(out, [128 * 128 * 1536]);
        portable(&left, &right, 1536, &mut out);
        assert_eq!(out, [128 * 128 * 1536]);
    }

    #[test]
    #[should_panic(expected = "assertion")]
    fn products_with_wrong_room_for_results_panic() {
        products(&[0; 32], &[0; 16], 16, &mut [0]);
    }
}
