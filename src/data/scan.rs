//! Pairs of vectors whose cosine may reach a threshold: every pair is looked at, in int8, so that few have to be computed exactly.

use rayon::prelude::*;

use super::knn::Vectors;

/// Rows that one task multiplies with all later columns: whole tiles and whole panels. Their codes stay in the second-level cache.
const ROWS: usize = 192;
/// Rows and columns of one tile, whose sums stay in registers.
const TILE: usize = 6;
const PANEL: usize = 64;
/// Sums of 16 columns share a register.
const SIXTEEN: usize = 16;
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
        for panel in rows.start / PANEL..codes.panels() {
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

/// The codes of some vectors, laid out twice: as rows, shifted to be unsigned, and as panels of 64 columns.
struct Codes {
    /// Bytes of a row: a multiple of 4.
    width: usize,
    /// `[rows · width]`: code + 128.
    rows: Vec<u8>,
    /// `[panels · width/4 · 64 · 4]`.
    panels: Vec<i8>,
    /// Of each column what the shift adds to its sums, negated.
    shift: Vec<i32>,
    /// Of each row, or column, its scale.
    scale: Vec<f32>,
    /// Of each row, or column, the length of what its code misses.
    rest: Vec<f32>,
}

impl Codes {
    fn new(vectors: &Vectors, members: &[u32]) -> Self {
        let width = vectors.width().next_multiple_of(4);
        let padded = members.len().next_multiple_of(ROWS);
        let mut rows = vec![128u8; padded * width];
        let stats: Vec<(i32, f32, f32)> = rows
            .par_chunks_mut(width)
            .enumerate()
            .map(|(i, row)| members.get(i).map_or((0, 0.0, 0.0), |&m| encode(vectors.get(m as usize), row)))
            .collect();
        let mut panels = vec![0i8; padded * width];
        panels.par_chunks_mut(PANEL * width).zip(rows.par_chunks(PANEL * width)).for_each(|(panel, rows)| {
            for (column, row) in rows.chunks_exact(width).enumerate() {
                for (four, codes) in row.chunks_exact(4).enumerate() {
                    let at = (four * PANEL + column) * 4;
                    panel[at..at + 4].iter_mut().zip(codes).for_each(|(p, c)| *p = (*c ^ 128) as i8);
                }
            }
        });
        Self {
            width,
            rows,
            panels,
            shift: stats.iter().map(|s| -128 * s.0).collect(),
            scale: stats.iter().map(|s| s.1).collect(),
            rest: stats.iter().map(|s| s.2).collect(),
        }
    }

    fn panels(&self) -> usize {
        self.rows.len() / self.width / PANEL
    }

    /// Returns for each row of a tile the columns, as bits, whose cosine may be `least` or more.
    #[cfg(target_arch = "x86_64")]
    fn tile(&self, row: usize, panel: usize, least: f32) -> [u64; TILE] {
        let columns = panel * PANEL..(panel + 1) * PANEL;
        let rows = &self.rows[row * self.width..(row + TILE) * self.width];
        let panel = &self.panels[columns.start * self.width..columns.end * self.width];
        // SAFETY: `candidates` has asked for the processor's features.
        let sums = unsafe { multiply(rows, panel, &self.shift[columns.clone()], self.width) };
        let mut hits = [0; TILE];
        for (r, sums) in sums.iter().enumerate() {
            // SAFETY: as above.
            hits[r] = unsafe {
                reach(
                    sums,
                    &self.scale[columns.clone()],
                    &self.rest[columns.clone()],
                    self.scale[row + r],
                    self.rest[row + r],
                    least,
                )
            };
        }
        hits
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
fn multiply(rows: &[u8], panel: &[i8], shift: &[i32], width: usize) -> [[std::arch::x86_64::__m512i; 4]; TILE] {
    use std::arch::x86_64::{_mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_set1_epi32};
    assert!(rows.len() == TILE * width && panel.len() == PANEL * width && shift.len() == PANEL);
    // SAFETY: 64 bytes each, within the slices by the lengths just checked.
    let sixteen = |from: *const i8| unsafe { _mm512_loadu_si512(from.cast()) };
    let start: [_; 4] = std::array::from_fn(|c| sixteen(shift[c * SIXTEEN..(c + 1) * SIXTEEN].as_ptr().cast()));
    let mut sums = [start; TILE];
    for four in 0..width / 4 {
        // SAFETY: `four` is below width / 4, so 256 bytes of the panel and 4 of each row lie within.
        unsafe {
            let columns = panel.as_ptr().add(four * PANEL * 4);
            let columns: [_; 4] = std::array::from_fn(|c| sixteen(columns.add(c * PANEL)));
            for (r, sums) in sums.iter_mut().enumerate() {
                let codes = rows.as_ptr().add(r * width + four * 4).cast::<i32>().read_unaligned();
                let row = _mm512_set1_epi32(codes);
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = _mm512_dpbusd_epi32(*sum, row, column);
                }
            }
        }
    }
    sums
}

/// Returns the columns, as bits, whose scaled sum plus what the codes may miss is `least` or more.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn reach(
    sums: &[std::arch::x86_64::__m512i; 4],
    scales: &[f32],
    rests: &[f32],
    scale: f32,
    rest: f32,
    least: f32,
) -> u64 {
    use std::arch::x86_64::{
        _CMP_GE_OQ, _mm512_cmp_ps_mask, _mm512_cvtepi32_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mul_ps,
        _mm512_set1_ps,
    };
    assert!(scales.len() == PANEL && rests.len() == PANEL);
    let mut hits = 0;
    for (c, sum) in sums.iter().enumerate() {
        // SAFETY: 16 numbers each, within the slices by the lengths just checked.
        let (scales, rests) = unsafe {
            (_mm512_loadu_ps(scales.as_ptr().add(c * SIXTEEN)), _mm512_loadu_ps(rests.as_ptr().add(c * SIXTEEN)))
        };
        let cosine = _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(*sum), _mm512_set1_ps(scale)), scales);
        let most = _mm512_fmadd_ps(rests, _mm512_set1_ps(1.0 + rest), cosine);
        hits |= u64::from(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(most, _mm512_set1_ps(least - rest))) << (c * SIXTEEN);
    }
    hits
}
