//! The order in which rows are trained on: torch's permutation per epoch, cut into batches.

use crate::plan::prolong;

/// Returns the order of `n` rows in one epoch: `torch.randperm(n)` seeded with `seed + epoch`.
///
/// # Randomness
/// Own MT19937, so the order is independent of torch, device, threads and of anything else that draws numbers.
///
/// # Source
/// `randperm_out_cpu` of torch 2.13 (`aten/src/ATen/native/TensorFactories.cpp`) under the sampler of transformers 4.57.6;
/// exact for the vectors `sample_order` of the goldens.
pub fn epoch_order(n: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut random = Mt19937::new(seed.wrapping_add(epoch) as u32);
    let mut order: Vec<usize> = (0..n).collect();
    for i in 0..n.saturating_sub(1) {
        let z = random.next() as usize % (n - i);
        order.swap(i, i + z);
    }
    order
}

/// Cuts an epoch's order into batches of `per_device` rows and deals them to `world` ranks in turn: `[rank][batch][row]`.
///
/// So that every rank has equally many full batches, a short tail is filled by wrapping to the epoch's first rows. A single rank
/// keeps its short last batch.
///
/// # Source
/// `BatchSamplerShard` (`even_batches`) of accelerate 1.x; exact for `sample_order` of the goldens.
pub fn deal(order: &[usize], per_device: usize, world: usize) -> Vec<Vec<Vec<usize>>> {
    let mut ranks = vec![Vec::new(); world];
    if order.is_empty() || per_device == 0 {
        return ranks;
    }
    let mut batches: Vec<Vec<usize>> = order.chunks(per_device).map(<[usize]>::to_vec).collect();
    if world > 1 {
        let mut wrapped = order.iter().cycle().copied();
        let last = batches.last_mut().expect("an order that is not empty has batches");
        while last.len() < per_device {
            last.extend(wrapped.next());
        }
        while batches.len() % world != 0 {
            batches.push(wrapped.by_ref().take(per_device).collect());
        }
    }
    for (i, batch) in batches.into_iter().enumerate() {
        ranks[i % world].push(batch);
    }
    ranks
}

/// Where the rows of an optimizer step come from: `batch` rows per step, the tail of an epoch a smaller step.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Rows per epoch.
    pub n: usize,
    /// Rows that follow each other in every epoch; one row each to shuffle rows freely.
    groups: Vec<Vec<usize>>,
    /// Rows per optimizer step.
    pub batch: usize,
    /// Seed of the first epoch.
    pub seed: u64,
}

impl Order {
    /// Makes an order in which groups are shuffled and the rows of a group stay together.
    pub fn new(groups: Vec<Vec<usize>>, batch: usize, seed: u64) -> Self {
        Self { n: groups.iter().map(Vec::len).sum(), groups, batch, seed }
    }

    /// Returns the number of optimizer steps in one epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.n.div_ceil(self.batch.max(1)) as u64
    }

    /// Returns the number of optimizer steps in `epochs`, the last one rounded up.
    pub fn total_steps(&self, epochs: f64) -> u64 {
        prolong::steps(epochs, self.steps_per_epoch())
    }

    /// Returns the rows of optimizer step `step`, counted from 1. Resuming is asking for a later step.
    pub fn rows(&self, step: u64) -> Vec<usize> {
        let per_epoch = self.steps_per_epoch().max(1);
        let (epoch, at) = ((step - 1) / per_epoch, ((step - 1) % per_epoch) as usize);
        let order = epoch_order(self.groups.len(), self.seed, epoch);
        let rows = order.into_iter().flat_map(|group| self.groups[group].iter().copied());
        rows.skip(at * self.batch).take(self.batch).collect()
    }

    /// Returns how many epochs are done after `step`, counting batches of `per_device` rows as the reference log does.
    pub fn epochs_done(&self, step: u64, per_device: usize) -> f64 {
        let per_epoch = self.steps_per_epoch().max(1);
        let (epoch, within) = (step / per_epoch, (step % per_epoch) as usize);
        let batches = |rows: usize| rows.div_ceil(per_device.max(1)) as f64;
        epoch as f64 + batches(within * self.batch) / batches(self.n).max(1.0)
    }
}

/// Returns groups of one row each: any row may follow any other.
pub fn singly(rows: usize) -> Vec<Vec<usize>> {
    (0..rows).map(|row| vec![row]).collect()
}

/// The Mersenne Twister of torch's CPU generator, 32-bit outputs.
struct Mt19937 {
    state: [u32; 624],
    next: usize,
}

impl Mt19937 {
    fn new(seed: u32) -> Self {
        let mut state = [seed; 624];
        for i in 1..624 {
            let before = state[i - 1];
            state[i] = 1_812_433_253_u32.wrapping_mul(before ^ (before >> 30)).wrapping_add(i as u32);
        }
        Self { state, next: 624 }
    }

    fn next(&mut self) -> u32 {
        if self.next == 624 {
            for i in 0..624 {
                let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % 624] & 0x7fff_ffff);
                let twist = if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + 397) % 624] ^ (y >> 1) ^ twist;
            }
            self.next = 0;
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }
}
