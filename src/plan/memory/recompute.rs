//! Which blocks of a training are computed again for their backward instead of keeping what it needs.

use serde::{Deserialize, Serialize};

/// The choice, `with { recompute }`. It changes memory and time; results differ at most in the last bits of sums.
///
/// # Source
/// Chen et al. 2016 (blocks that keep their inputs alone); Korthikanti et al. 2022 (some of them).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recompute {
    /// None: every block keeps what its backward needs.
    #[default]
    None,
    /// Every second block of each tower.
    Half,
    /// The blocks of the vision tower, where a picture has four patches to a token.
    Vision,
    /// The blocks of the text decoder.
    Text,
    /// All blocks.
    All,
}

impl Recompute {
    /// Says whether block `block` of the vision tower is computed again.
    pub fn vision(self, block: usize) -> bool {
        self.whole(Self::Vision, block)
    }

    /// Says whether block `block` of the text decoder is computed again.
    pub fn text(self, block: usize) -> bool {
        self.whole(Self::Text, block)
    }

    /// Returns how many blocks of a vision tower with so many are computed again.
    pub fn of_vision(self, blocks: u64) -> u64 {
        (0..blocks as usize).filter(|&block| self.vision(block)).count() as u64
    }

    /// Returns how many blocks of a text decoder with so many are computed again.
    pub fn of_text(self, blocks: u64) -> u64 {
        (0..blocks as usize).filter(|&block| self.text(block)).count() as u64
    }

    fn whole(self, tower: Self, block: usize) -> bool {
        match self {
            Self::None => false,
            Self::Half => block % 2 == 1,
            Self::All => true,
            own => own == tower,
        }
    }
}
