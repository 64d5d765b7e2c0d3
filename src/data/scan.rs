//! Pairs of vectors whose cosine may reach a threshold: every pair is looked at, in int8, so that few have to be computed exactly.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::__m512i;

use rayon::prelude::*;

use super::knn::Vectors;

/// Rows that one task multiplies with all later columns: whole tiles and whole panels. Their codes stay in the second-level cache.
const ROWS: usize = 192;
/// Rows and columns of one tile, whose sums stay in registers.
const TILE: usize = 6;
const PANEL: usize = 64;
/// Covers the rounding of an f32 cosine and of the comparison itself.
const SLACK: f32 = 1e-4;
/// Widest vectors whose sums surely fit 32 bits.
const WIDEST: usize = 1 << 15;

/// Says whether this processor has the instructions: AVX-512 with VNNI.
pub fn available(vectors: &Vectors) -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        let processor = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni");
        processor && vectors.width() <= WIDEST
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = vectors;
        false
    }
}

/// Calls `found(a, b)` for pairs of `members`, each once and in any order: for all whose cosine is at least `similar`, and few others.
///
/// A vector is `scale · code + rest` with codes from −127 to 127. By Cauchy and Schwarz the cosine of two vectors of length 1 differs from that of
/// their codes by at most `|rest| + |rest'| + |rest| · |rest'|`; the threshold is lowered by as much.
///
/// # Panics
/// If the processor lacks the instructions: ask [`available`] first.
pub fn candidates(vectors: &Vectors, members: &[u32], similar: f32, found: impl Fn(u32, u32) + Sync) {
    assert!(available(vectors), "a processor with AVX-512 VNNI");
    let codes = Codes::new(vectors, members);
    (0..members.len().div_ceil(ROWS)).into_par_iter().for_each(|task| {
        let rows = task * ROWS..((task + 1) * ROWS).min(members.len());
        for panel in rows.start / PANEL..codes.shift.len() {
            for row in rows.clone().step_by(TILE) {
                let hits = codes.tile(row, panel, similar - SLACK);
                for (r, &columns) in hits.iter().enumerate().filter(|(_, columns)| **columns != 0) {
                    let mut left = columns;
                    while left != 0 {
                        let (a, b) = (row + r, panel * PANEL + left.trailing_zeros() as usize);
                        left &= left - 1;
                        if a < b && b < members.len() {
                            found(members[a], members[b]);
                        }
                    }
                }
            }
        }
    });
}

/// The codes of some vectors, laid out twice: as tiles of 6 rows, shifted to be unsigned, and as panels of 64 columns.
struct Codes {
    /// Fours of numbers in a vector.
    fours: usize,
    /// `[rows/6 · fours]` of 6 rows by 4 numbers: code + 128.
    tiles: Vec<[u8; 4 * TILE]>,
    /// `[columns/64 · fours]` of 64 columns by 4 numbers.
    panels: Vec<[i8; 4 * PANEL]>,
    /// Of each column what the shift adds to its sums, negated.
    shift: Vec<[i32; PANEL]>,
    /// Of each row, or column, its scale.
    scale: Vec<[f32; PANEL]>,
    /// Of each row, or column, the length of what its code misses.
    rest: Vec<[f32; PANEL]>,
}

impl Codes {
    fn new(vectors: &Vectors, members: &[u32]) -> Self {
        let fours = vectors.width().div_ceil(4);
        let padded = members.len().next_multiple_of(ROWS);
        let mut rows = vec![128u8; padded * fours * 4];
        let stats: Vec<(i32, f32, f32)> = rows
            .par_chunks_mut(fours * 4)
            .enumerate()
            .map(|(i, row)| members.get(i).map_or((0, 0.0, 0.0), |&m| encode(vectors.get(m as usize), row)))
            .collect();
        // One layout for both: `lanes` vectors side by side, four numbers of each.
        let lay = |block: usize, lanes: usize, at: usize| {
            let (lane, k) = (at / 4, at % 4);
            rows[(block / fours * lanes + lane) * fours * 4 + block % fours * 4 + k]
        };
        let tile = |block: usize| std::array::from_fn(|at| lay(block, TILE, at));
        let panel = |block: usize| std::array::from_fn(|at| (lay(block, PANEL, at) ^ 128) as i8);
        let of_panel = |p: usize| &stats[p * PANEL..(p + 1) * PANEL];
        let panels = padded / PANEL;
        Self {
            fours,
            tiles: (0..padded / TILE * fours).into_par_iter().map(tile).collect(),
            panels: (0..panels * fours).into_par_iter().map(panel).collect(),
            shift: (0..panels).map(|p| std::array::from_fn(|c| -128 * of_panel(p)[c].0)).collect(),
            scale: (0..panels).map(|p| std::array::from_fn(|c| of_panel(p)[c].1)).collect(),
            rest: (0..panels).map(|p| std::array::from_fn(|c| of_panel(p)[c].2)).collect(),
        }
    }

    /// Returns for each of the 6 rows from `row` the columns of a panel, as bits, whose cosine may be `least` or more.
    #[cfg(target_arch = "x86_64")]
    fn tile(&self, row: usize, panel: usize, least: f32) -> [u64; TILE] {
        let tile = &self.tiles[row / TILE * self.fours..][..self.fours];
        let columns = &self.panels[panel * self.fours..][..self.fours];
        // SAFETY: `candidates` has asked for the processor's features.
        let sums = unsafe { multiply(tile, columns, &self.shift[panel]) };
        std::array::from_fn(|r| {
            let of = |all: &[[f32; PANEL]]| all[(row + r) / PANEL][(row + r) % PANEL];
            let (scale, rest) = (of(&self.scale), of(&self.rest));
            // SAFETY: as above.
            unsafe { reach(&sums[r], &self.scale[panel], &self.rest[panel], scale, rest, least) }
        })
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn tile(&self, _row: usize, _panel: usize, _least: f32) -> [u64; TILE] {
        unreachable!("`available` is false")
    }
}

/// Writes the shifted code of a vector. Returns the sum of the code, its scale, and the length of what it misses.
fn encode(vector: &[f32], row: &mut [u8]) -> (i32, f32, f32) {
    let most = vector.iter().fold(0f32, |most, v| most.max(v.abs()));
    if most == 0.0 || !most.is_finite() {
        return (0, 0.0, 0.0);
    }
    let scale = most / 127.0;
    let (mut sum, mut rest) = (0, 0f64);
    for (byte, v) in row.iter_mut().zip(vector) {
        let code = (v / scale).round();
        sum += code as i32;
        rest += f64::from(v - code * scale).powi(2);
        *byte = (code as i32 + 128) as u8;
    }
    (sum, scale, rest.sqrt() as f32)
}

/// Sums of products, `shift` added: 6 rows by 64 columns, 16 of these in each register.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
fn multiply(tile: &[[u8; 4 * TILE]], panel: &[[i8; 4 * PANEL]], shift: &[i32; PANEL]) -> [[__m512i; 4]; TILE] {
    use std::arch::x86_64::{_mm512_dpbusd_epi32, _mm512_set1_epi32};
    // SAFETY: 64 bytes each way, and every pattern of bits is a value of both types.
    let start = unsafe { std::mem::transmute::<[i32; PANEL], [__m512i; 4]>(*shift) };
    let mut sums = [start; TILE];
    for (rows, columns) in tile.iter().zip(panel) {
        // SAFETY: as above, 256 bytes each way.
        let columns = unsafe { std::mem::transmute::<[i8; 4 * PANEL], [__m512i; 4]>(*columns) };
        for (r, sums) in sums.iter_mut().enumerate() {
            let codes = [rows[4 * r], rows[4 * r + 1], rows[4 * r + 2], rows[4 * r + 3]];
            let row = _mm512_set1_epi32(i32::from_le_bytes(codes));
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = _mm512_dpbusd_epi32(*sum, row, column);
            }
        }
    }
    sums
}

/// Returns the columns, as bits, whose scaled sum plus what the codes may miss is `least` or more.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn reach(sums: &[__m512i; 4], scales: &[f32; PANEL], rests: &[f32; PANEL], scale: f32, rest: f32, least: f32) -> u64 {
    use std::arch::x86_64::{
        __m512, _CMP_GE_OQ, _mm512_cmp_ps_mask, _mm512_cvtepi32_ps, _mm512_fmadd_ps, _mm512_mul_ps, _mm512_set1_ps,
    };
    // SAFETY: 256 bytes each way, and every pattern of bits is a value of both types.
    let wide = |numbers: &[f32; PANEL]| unsafe { std::mem::transmute::<[f32; PANEL], [__m512; 4]>(*numbers) };
    let mut hits = 0;
    for (c, ((sum, scales), rests)) in sums.iter().zip(wide(scales)).zip(wide(rests)).enumerate() {
        let cosine = _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(*sum), _mm512_set1_ps(scale)), scales);
        let most = _mm512_fmadd_ps(rests, _mm512_set1_ps(1.0 + rest), cosine);
        hits |= u64::from(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(most, _mm512_set1_ps(least - rest))) << (c * PANEL / 4);
    }
    hits
}
