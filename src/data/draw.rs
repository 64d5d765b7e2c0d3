//! Row randomness: one ChaCha8 stream for each row, the same for any thread count, row order or neighbours.

use std::collections::HashMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::Value as Json;

use super::cell::Cell;
use super::table::Table;
use crate::base::{Digest, OpError};

/// What tells a row's randomness apart: the digest of the columns that the operator reads, and how many equal rows came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowKey {
    /// Digest of the row, projected to those columns.
    pub digest: Digest,
    /// Number of equal rows above it.
    pub occurrence: u64,
}

/// Returns the keys of all rows, projected to `columns`.
///
/// # Errors
/// `E0301` when a column is not there.
pub fn row_keys(table: &Table, columns: &[&str]) -> Result<Vec<RowKey>, OpError> {
    Keyer::default().keys(table, columns)
}

/// Gives keys to rows that come in parts; holds some 32 bytes for each row that is unlike those before.
#[derive(Default)]
pub struct Keyer {
    /// How often each row came. Half a digest tells rows apart as surely as anyone needs.
    seen: HashMap<[u8; 16], u32>,
}

impl Keyer {
    /// Returns the keys of the next rows, projected to `columns`.
    ///
    /// # Errors
    /// `E0301` when a column is not there.
    pub fn keys(&mut self, table: &Table, columns: &[&str]) -> Result<Vec<RowKey>, OpError> {
        let arrays = columns.iter().map(|c| table.column(c)).collect::<Result<Vec<_>, _>>()?;
        let keys = (0..table.rows()).map(|row| {
            let cells = arrays.iter().map(|a| Cell::read(a.as_ref(), row).to_json()).collect();
            let digest = Digest::of_json(&Json::Array(cells));
            let mut half = [0; 16];
            half.copy_from_slice(&digest.0[..16]);
            let count = self.seen.entry(half).or_default();
            *count += 1;
            RowKey { digest, occurrence: u64::from(*count - 1) }
        });
        Ok(keys.collect())
    }
}

/// A source of random numbers.
#[derive(Clone, Debug)]
pub struct Draw(ChaCha8Rng);

impl Draw {
    /// Returns the randomness of a row: ChaCha8 with key `stream`, its nonce and block counter from the row's key.
    pub fn new(stream: Digest, row: RowKey) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&row.digest.0);
        hasher.update(&row.occurrence.to_le_bytes());
        let mut place = [0; 16];
        hasher.finalize_xof().fill(&mut place);
        let (nonce, block) = place.split_at(8);
        let word = |half: &[u8]| half.iter().rev().fold(0_u64, |n, b| (n << 8) | u64::from(*b));
        let mut rng = ChaCha8Rng::from_seed(stream.0);
        rng.set_stream(word(nonce));
        rng.set_word_pos(u128::from(word(block)) << 4);
        Self(rng)
    }

    /// Draws from `0.0..1.0`, 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Draws evenly between two numbers.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Draws one of `0..n`; 0 when `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.0.next_u64()) * n as u128) >> 64) as usize
    }

    /// Puts items in random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }

    /// Says yes with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }
}
