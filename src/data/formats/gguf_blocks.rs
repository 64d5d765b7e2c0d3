//! How GGUF packs numbers: blocks of 32 or 256 with a scale.

use half::{bf16, f16};

/// A way of packing.
#[allow(missing_docs)] // ggml's names
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    F32,
    F16,
    Bf16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
}

impl Block {
    /// Returns the packing that a number of ggml means.
    pub fn of(kind: u32) -> Option<Self> {
        Some(match kind {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            30 => Self::Bf16,
            _ => return None,
        })
    }

    /// Returns how many numbers a block holds.
    pub fn numbers(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q4K | Self::Q5K | Self::Q6K => 256,
        }
    }

    /// Returns the bytes of so many numbers.
    pub fn bytes(self, count: usize) -> usize {
        count / self.numbers() * self.width()
    }

    /// Returns the numbers of whole blocks.
    ///
    /// # Source
    /// `dequantize_row_*` of ggml; equal to the `gguf` package's `dequantize` on the file in `tests/goldens/text/blocks.gguf`.
    pub fn unpack(self, bytes: &[u8]) -> Vec<f32> {
        let mut out = Vec::with_capacity(bytes.len() / self.width() * self.numbers());
        for block in bytes.chunks_exact(self.width()) {
            match self {
                Self::F32 => out.push(f32::from_le_bytes([block[0], block[1], block[2], block[3]])),
                Self::F16 => out.push(half_at(block, 0)),
                Self::Bf16 => out.push(bf16::from_le_bytes([block[0], block[1]]).to_f32()),
                Self::Q4_0 => nibbles(&block[2..], |q, _| (q as f32 - 8.0) * half_at(block, 0), &mut out),
                Self::Q4_1 => {
                    nibbles(&block[4..], |q, _| q as f32 * half_at(block, 0) + half_at(block, 2), &mut out);
                }
                Self::Q5_0 => {
                    let high = fifth_bits(&block[2..6]);
                    let value = |q: u8, i: usize| (f32::from(q | high(i)) - 16.0) * half_at(block, 0);
                    nibbles(&block[6..], value, &mut out);
                }
                Self::Q5_1 => {
                    let high = fifth_bits(&block[4..8]);
                    let value = |q: u8, i: usize| f32::from(q | high(i)) * half_at(block, 0) + half_at(block, 2);
                    nibbles(&block[8..], value, &mut out);
                }
                Self::Q8_0 => out.extend(block[2..].iter().map(|&q| f32::from(q as i8) * half_at(block, 0))),
                Self::Q4K => fours(block, None, &block[16..], &mut out),
                Self::Q5K => fours(block, Some(&block[16..48]), &block[48..], &mut out),
                Self::Q6K => sixes(block, &mut out),
            }
        }
        out
    }

    fn width(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }
}

fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// 32 numbers of 4 bits: the low halves of 16 bytes, then the high halves.
fn nibbles(packed: &[u8], value: impl Fn(u8, usize) -> f32, out: &mut Vec<f32>) {
    out.extend(packed.iter().enumerate().map(|(i, b)| value(b & 15, i)));
    out.extend(packed.iter().enumerate().map(|(i, b)| value(b >> 4, i + 16)));
}

/// The fifth bit of each of 32 numbers, in its place.
fn fifth_bits(bytes: &[u8]) -> impl Fn(usize) -> u8 {
    let bits = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    move |i| ((bits >> i & 1) << 4) as u8
}

/// 256 numbers of 4 bits, or of 5 where `high` has the fifth ones: eight parts of 32, each with a scale and a least value of 6 bits.
fn fours(block: &[u8], high: Option<&[u8]>, packed: &[u8], out: &mut Vec<f32>) {
    let (scale, least) = (half_at(block, 0), half_at(block, 2));
    let s = &block[4..16];
    let part = |j: usize| match j {
        0..4 => (s[j] & 63, s[j + 4] & 63),
        _ => (s[j + 4] & 15 | s[j - 4] >> 6 << 4, s[j + 4] >> 4 | s[j] >> 6 << 4),
    };
    for j in 0..8 {
        let (own, low) = part(j);
        let (own, low) = (scale * f32::from(own), least * f32::from(low));
        let bytes = &packed[j / 2 * 32..][..32];
        out.extend(bytes.iter().enumerate().map(|(i, b)| {
            let four = if j % 2 == 0 { b & 15 } else { b >> 4 };
            let fifth = high.map_or(0, |h| (h[i] >> j & 1) << 4);
            own * f32::from(four | fifth) - low
        }));
    }
}

/// 256 numbers of 6 bits: sixteen parts of 16, each with a scale of 8 bits.
fn sixes(block: &[u8], out: &mut Vec<f32>) {
    let (low, high, scales, scale) = (&block[..128], &block[128..192], &block[192..208], half_at(block, 208));
    for half in 0..2 {
        for quarter in 0..4 {
            out.extend((0..32).map(|i| {
                let byte = low[half * 64 + quarter % 2 * 32 + i];
                let four = if quarter < 2 { byte & 15 } else { byte >> 4 };
                let two = high[half * 32 + i] >> (2 * quarter) & 3;
                let own = scales[half * 8 + quarter * 2 + i / 16] as i8;
                scale * f32::from(own) * (f32::from(four | two << 4) - 32.0)
            }));
        }
    }
}
