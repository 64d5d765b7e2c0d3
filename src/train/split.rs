//! The validation split: which rows are held out of training, as `datasets.train_test_split` does it.

/// Splits `n` rows into (training, validation), both in the order of the permutation.
///
/// The first `validation` rows of numpy's `default_rng(seed).permutation(n)` are held out.
///
/// # Source
/// `Dataset.train_test_split(test_size, seed)` of datasets 4.x as LLaMA-Factory calls it; exact for `val_split` of the goldens.
pub fn split(n: usize, validation: usize, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let mut order = permutation(n, seed);
    let train = order.split_off(validation.min(n));
    (train, order)
}

/// Returns how many of `n` rows a part of them is, rounded up.
pub fn rows_of(n: usize, ratio: f64) -> usize {
    (n as f64 * ratio).ceil() as usize
}

/// Returns `numpy.random.default_rng(seed).permutation(n)`.
pub fn permutation(n: usize, seed: u64) -> Vec<usize> {
    let mut random = Pcg64::new(seed);
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, random.at_most(i as u32) as usize);
    }
    order
}

const MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;

/// numpy's default generator, seeded by its `SeedSequence`.
struct Pcg64 {
    state: u128,
    increment: u128,
    high_half: Option<u32>,
}

impl Pcg64 {
    fn new(seed: u64) -> Self {
        let words = seed_words(seed);
        let increment = ((u128::from(words[2]) << 64 | u128::from(words[3])) << 1) | 1;
        let mut random = Self { state: 0, increment, high_half: None };
        random.advance();
        random.state = random.state.wrapping_add(u128::from(words[0]) << 64 | u128::from(words[1]));
        random.advance();
        random
    }

    fn advance(&mut self) {
        self.state = self.state.wrapping_mul(MULTIPLIER).wrapping_add(self.increment);
    }

    fn next_u32(&mut self) -> u32 {
        if let Some(high) = self.high_half.take() {
            return high;
        }
        self.advance();
        let folded = (self.state >> 64) as u64 ^ self.state as u64;
        let drawn = folded.rotate_right((self.state >> 122) as u32);
        self.high_half = Some((drawn >> 32) as u32);
        drawn as u32
    }

    /// Draws from `0..=limit`, evenly, by masked rejection.
    fn at_most(&mut self, limit: u32) -> u32 {
        let mask = u32::MAX >> limit.leading_zeros().min(31);
        loop {
            let drawn = self.next_u32() & mask;
            if drawn <= limit {
                return drawn;
            }
        }
    }
}

/// numpy's `SeedSequence(seed).generate_state(4, uint64)`.
fn seed_words(seed: u64) -> [u64; 4] {
    const MIX_LEFT: u32 = 0xca01_f9dd;
    const MIX_RIGHT: u32 = 0x4973_f715;
    let mut constant = 0x43b0_d7e5_u32;
    let mut hash = |value: u32| {
        let value = value ^ constant;
        constant = constant.wrapping_mul(0x931e_8875);
        let value = value.wrapping_mul(constant);
        value ^ (value >> 16)
    };
    let mix = |x: u32, y: u32| {
        let mixed = x.wrapping_mul(MIX_LEFT).wrapping_sub(y.wrapping_mul(MIX_RIGHT));
        mixed ^ (mixed >> 16)
    };
    let mut pool = [hash(seed as u32), hash((seed >> 32) as u32), hash(0), hash(0)];
    for from in 0..4 {
        for to in 0..4 {
            if from != to {
                pool[to] = mix(pool[to], hash(pool[from]));
            }
        }
    }
    let mut constant = 0x8b51_f9dd_u32;
    let mut halves = [0_u32; 8];
    for (i, half) in halves.iter_mut().enumerate() {
        let value = pool[i % 4] ^ constant;
        constant = constant.wrapping_mul(0x58f3_8ded);
        let value = value.wrapping_mul(constant);
        *half = value ^ (value >> 16);
    }
    std::array::from_fn(|i| u64::from(halves[2 * i]) | u64::from(halves[2 * i + 1]) << 32)
}
