//! Deterministic random numbers (SplitMix64): the same seed gives the same sequence on every machine.

pub(super) struct Random(u64);

impl Random {
    /// Sequence of one part of something that has a seed.
    pub fn of_part(seed: u64, part: u64) -> Random {
        let mut random = Random(seed ^ part.wrapping_mul(0xd6e8_feb8_6659_fd93));
        random.next();
        random
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// True in `per_mille` of 1,000 cases.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    /// A number of the range, small ones more often than large ones.
    pub fn skewed(&mut self, (least, most): (u64, u64)) -> u64 {
        let (one, other) = (self.below(1_000), self.below(1_000));
        least + (most - least) * one * other / 1_000_000
    }

    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_sequence_depends_on_seed_and_part_alone() {
        let sequence = |seed, part| {
            let mut random = Random::of_part(seed, part);
            [random.next(), random.next(), random.below(10)]
        };
        assert_eq!(sequence(1, 2), sequence(1, 2));
        assert_ne!(sequence(1, 2), sequence(1, 3));
        assert_ne!(sequence(1, 2), sequence(2, 2));
        let mut random = Random::of_part(7, 0);
        let all: Vec<u64> = (0..1_000).map(|_| random.skewed((10, 20))).collect();
        assert!(all.iter().all(|number| (10..=20).contains(number)));
        assert!(all.iter().filter(|number| **number < 15).count() > 700);
    }
}
