//! Forward pass of all-MiniLM-L6-v2 (a BERT of 6 layers): token ids in, the mean of the last layer out. Matrices are multiplied in
//! small integers with a scale per row and per token; all else is f32.

use super::layout::{Layout, Matrix, NibbleMatrix};
use crate::cache::simd;

/// Values of a vector, and of a token between layers.
pub const WIDTH: usize = 384;
const INNER_WIDTH: usize = 4 * WIDTH;
const LAYERS: usize = 6;
const HEADS: usize = 12;
const HEAD_WIDTH: usize = WIDTH / HEADS;
/// Positions that the data file has: tokens of a text with the two around it.
pub const POSITIONS: usize = 130;

pub struct Model {
    tokens: NibbleMatrix,
    positions: Matrix,
    norm: Norm,
    layers: Vec<Layer>,
}

struct Layer {
    query_key_value: Dense,
    attention: Dense,
    attention_norm: Norm,
    inner: Dense,
    output: Dense,
    output_norm: Norm,
}

struct Dense {
    matrix: Matrix,
    bias: Vec<f32>,
}

struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Model {
    pub fn read(file: &mut Layout, words: usize) -> Model {
        Model {
            tokens: file.nibble_matrix(words, WIDTH),
            positions: file.matrix(POSITIONS, WIDTH),
            norm: Norm::read(file),
            layers: (0..LAYERS).map(|_| Layer::read(file)).collect(),
        }
    }

    /// Mean of the last layer over all tokens, not normalized. At most [`POSITIONS`] ids, at least one.
    pub fn forward(&self, ids: &[u16]) -> [f32; WIDTH] {
        let mut states = vec![0.0; ids.len() * WIDTH];
        for ((position, id), state) in ids.iter().enumerate().zip(states.chunks_exact_mut(WIDTH)) {
            self.tokens.add_row(usize::from(*id), state);
            self.positions.add_row(position, state);
        }
        self.norm.apply(&mut states);
        for layer in &self.layers {
            layer.apply(&mut states);
        }
        let mut mean = [0.0; WIDTH];
        for state in states.chunks_exact(WIDTH) {
            add(&mut mean, state);
        }
        let count = ids.len() as f32;
        mean.map(|sum| sum / count)
    }
}

impl Layer {
    fn read(file: &mut Layout) -> Layer {
        Layer {
            query_key_value: Dense::read(file, 3 * WIDTH, WIDTH),
            attention: Dense::read(file, WIDTH, WIDTH),
            attention_norm: Norm::read(file),
            inner: Dense::read(file, INNER_WIDTH, WIDTH),
            output: Dense::read(file, WIDTH, INNER_WIDTH),
            output_norm: Norm::read(file),
        }
    }

    fn apply(&self, states: &mut [f32]) {
        let mixed = attend(&self.query_key_value.apply(states));
        add(states, &self.attention.apply(&mixed));
        self.attention_norm.apply(states);
        let mut inner = self.inner.apply(states);
        inner.iter_mut().for_each(|value| *value = gelu(*value));
        add(states, &self.output.apply(&inner));
        self.output_norm.apply(states);
    }
}

impl Dense {
    fn read(file: &mut Layout, rows: usize, width: usize) -> Dense {
        Dense {
            matrix: file.matrix(rows, width),
            bias: file.floats(rows),
        }
    }

    fn apply(&self, input: &[f32]) -> Vec<f32> {
        let (rows, width) = (self.bias.len(), self.matrix.width);
        let tokens = input.len() / width;
        // whole tiles are faster than the rest of one
        let lines = tokens.next_multiple_of(simd::TILE_LINES);
        let mut codes = vec![0; lines * width];
        let parts = input.chunks_exact(width).zip(codes.chunks_exact_mut(width));
        let scales: Vec<f32> = parts
            .map(|(values, codes)| quantize(values, codes))
            .collect();
        let mut sums = vec![0; lines * rows];
        simd::products(&codes, self.matrix.rows, width, &mut sums);
        let mut output = vec![0.0; tokens * rows];
        let parts = output.chunks_exact_mut(rows).zip(sums.chunks_exact(rows));
        for ((output, sums), scale) in parts.zip(scales) {
            let rows = self.matrix.scales.iter().zip(&self.bias);
            for ((output, sum), (row_scale, bias)) in output.iter_mut().zip(sums).zip(rows) {
                *output = *sum as f32 * (scale * row_scale) + bias;
            }
        }
        output
    }
}

impl Norm {
    fn read(file: &mut Layout) -> Norm {
        Norm {
            weight: file.floats(WIDTH),
            bias: file.floats(WIDTH),
        }
    }

    fn apply(&self, states: &mut [f32]) {
        for state in states.chunks_exact_mut(WIDTH) {
            let mean = sum(state, |value| value) / WIDTH as f32;
            let variance = sum(state, |value| (value - mean) * (value - mean)) / WIDTH as f32;
            let factor = 1.0 / (variance + 1e-12).sqrt();
            for ((value, weight), bias) in state.iter_mut().zip(&self.weight).zip(&self.bias) {
                *value = (*value - mean) * factor * weight + bias;
            }
        }
    }
}

/// Self-attention of all heads. A token of the input has its query, key and value; the query is already divided.
fn attend(input: &[f32]) -> Vec<f32> {
    let tokens = input.len() / (3 * WIDTH);
    let part = |token: usize, part: usize, head: usize| {
        let start = token * 3 * WIDTH + part * WIDTH + head * HEAD_WIDTH;
        &input[start..start + HEAD_WIDTH]
    };
    let mut output = vec![0.0; tokens * WIDTH];
    let mut weights = vec![0.0; tokens];
    for head in 0..HEADS {
        for token in 0..tokens {
            let query = part(token, 0, head);
            for (other, weight) in weights.iter_mut().enumerate() {
                *weight = product(query, part(other, 1, head));
            }
            soften(&mut weights);
            let mixed = &mut output[token * WIDTH + head * HEAD_WIDTH..][..HEAD_WIDTH];
            for (other, weight) in weights.iter().enumerate() {
                for (mixed, value) in mixed.iter_mut().zip(part(other, 2, head)) {
                    *mixed += weight * value;
                }
            }
        }
    }
    output
}

/// Softmax in place.
fn soften(weights: &mut [f32]) {
    let largest = weights.iter().copied().fold(f32::MIN, f32::max);
    weights
        .iter_mut()
        .for_each(|weight| *weight = exp(*weight - largest));
    let factor = 1.0 / weights.iter().sum::<f32>();
    weights.iter_mut().for_each(|weight| *weight *= factor);
}

/// Largest code of an activation: with it, [`INNER_WIDTH`] products with i8 add up to less than 2^31. Codes of 8 bits would cost
/// nearly all of the deviation from the model in f32, and are not faster.
const CODE_MAX: f32 = 8191.0;

/// Codes of at most [`CODE_MAX`] and their scale.
fn quantize(values: &[f32], codes: &mut [i16]) -> f32 {
    let largest = values
        .iter()
        .fold(0.0_f32, |largest, value| largest.max(value.abs()));
    if largest == 0.0 {
        codes.fill(0);
        return 0.0;
    }
    let factor = CODE_MAX / largest;
    for (code, value) in codes.iter_mut().zip(values) {
        *code = nearest_integer(value * factor) as i16;
    }
    largest / CODE_MAX
}

/// Adding 1.5 * 2^23 leaves the nearest integer in the low bits of the mantissa: no branch and no call, so that loops become vector
/// code on every processor.
const ROUNDING: f32 = 12_582_912.0;

/// Nearest integer of a value of less than 2^22.
fn nearest_integer(value: f32) -> i32 {
    (value + ROUNDING)
        .to_bits()
        .wrapping_sub(ROUNDING.to_bits())
        .cast_signed()
}

/// `e` to the power of a value of at most 0, with a relative error below 1e-5.
fn exp(value: f32) -> f32 {
    let power = value.max(-87.0) * std::f32::consts::LOG2_E;
    let whole = nearest_integer(power);
    let x = (power - whole as f32) * std::f32::consts::LN_2;
    // Taylor series; |x| is at most 0.35
    let series = 1.0
        + x * (1.0
            + x * (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * (1.0 / 120.0 + x / 720.0)))));
    series * f32::from_bits(((whole + 127) << 23).cast_unsigned())
}

/// Gaussian error linear unit, with the error function of Abramowitz and Stegun, 7.1.26 (error below 1.5e-7).
fn gelu(value: f32) -> f32 {
    let x = value.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let series = t
        * (0.254_829_6
            + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4))));
    let tail = 0.5 * series * exp(-x * x);
    // the normal distribution at `value`
    let share = if value < 0.0 { tail } else { 1.0 - tail };
    value * share
}

fn add(sums: &mut [f32], values: &[f32]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += value;
    }
}

/// Partial sums, so that the additions of a loop do not wait for each other.
const LANES: usize = 8;

fn sum(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    for values in values.as_chunks::<LANES>().0 {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += term(*value);
        }
    }
    sums.iter().sum()
}

fn product(left: &[f32], right: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    for (left, right) in left
        .as_chunks::<LANES>()
        .0
        .iter()
        .zip(right.as_chunks::<LANES>().0)
    {
        for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
            *sum += left * right;
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    //! Functions that are approximated, against exact ones.

    use super::*;

    #[test]
    fn exp_of_negative_values_is_within_relative_error() {
        for step in 0..870 {
            let value = -(step as f32) / 10.0;
            let exact = f64::from(value).exp();
            let error = (f64::from(exp(value)) - exact).abs() / exact;
            assert!(error < 1e-5, "exp({value}): {error}");
        }
        assert!(exp(-1e9) < 1e-37);
    }

    #[test]
    fn gelu_of_known_values_is_exact_to_six_digits() {
        // values of the exact function
        let known = [
            (-3.0, -0.004_049_7),
            (-1.0, -0.158_655_26),
            (0.0, 0.0),
            (0.5, 0.345_731_23),
            (1.0, 0.841_344_7),
            (3.0, 2.995_950_3),
        ];
        for (value, exact) in known {
            assert!(
                (gelu(value) - exact).abs() < 1e-6,
                "gelu({value}) is {}",
                gelu(value)
            );
        }
    }

    #[test]
    fn quantized_values_are_nearest_codes() {
        let mut codes = [0; 4];
        let scale = quantize(&[-2.0, 0.0, 1.0, 2.0], &mut codes);
        assert_eq!(codes, [-8191, 0, 4096, 8191]);
        assert!((scale - 2.0 / CODE_MAX).abs() < 1e-9);
        assert_eq!((quantize(&[0.0; 4], &mut codes), codes), (0.0, [0; 4]));
    }
}
