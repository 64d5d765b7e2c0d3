//! Pairs of vectors whose cosine may reach a threshold: every pair is looked at, in int8, so that few have to be computed exactly.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m256i, __m512i};

use rayon::prelude::*;

use super::vectors::Vectors;

/// Rows that one task multiplies with all later columns: whole tiles and whole panels. Their codes stay in the second-level cache.
const ROWS: usize = 192;
/// Rows and columns of one tile, whose sums stay in registers.
const TILE: usize = 6;
const PANEL: usize = 64;
/// Covers the rounding of an f32 cosine and of the comparison itself.
const SLACK: f32 = 1e-4;
/// Widest vectors whose sums surely fit 32 bits.
const WIDEST: usize = 1 << 15;

/// Instructions that multiply codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// AVX-512 with VNNI: codes of 8 bits.
    Vnni,
    /// AVX2: codes of 7 bits, so that no sum of four products leaves 16 bits.
    Avx2,
}

impl Kernel {
    /// Returns what this processor has, the fastest first.
    pub fn all() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        {
            let vnni = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni");
            let kernels = [(Self::Vnni, vnni), (Self::Avx2, is_x86_feature_detected!("avx2"))];
            kernels.into_iter().filter_map(|(kernel, there)| there.then_some(kernel)).collect()
        }
        #[cfg(not(target_arch = "x86_64"))]
        Vec::new()
    }

    /// Returns the fastest for some vectors, if there is one.
    pub fn of(vectors: &Vectors) -> Option<Self> {
        Self::all().into_iter().next().filter(|_| vectors.width() <= WIDEST)
    }

    /// Codes lie between this and its negative.
    fn most(self) -> u8 {
        if self == Self::Vnni { 127 } else { 63 }
    }

    /// What is added to a code to make it positive.
    fn shift(self) -> u8 {
        self.most() + 1
    }
}

/// Calls `found(a, b)` with the places in `members` of pairs whose first is among the first `firsts`, each once and in any order: for all whose cosine
/// is at least `similar`, and few others.
///
/// A vector is `scale · code + rest` with whole numbers from −127 to 127, or from −63 to 63, as codes. By Cauchy and Schwarz the cosine of two
/// vectors of length 1 differs from that of their codes by at most `|rest| + |rest'| + |rest| · |rest'|`; the threshold is lowered by as much.
///
/// # Panics
/// If the processor lacks the instructions.
pub fn candidates(
    kernel: Kernel,
    vectors: &Vectors,
    members: &[u32],
    firsts: usize,
    similar: f32,
    found: &(impl Fn(usize, usize) + Sync),
) {
    assert!(Kernel::all().contains(&kernel) && vectors.width() <= WIDEST, "a processor with {kernel:?}");
    let codes = Codes::new(kernel, vectors, members);
    (0..firsts.div_ceil(ROWS)).into_par_iter().for_each(|task| {
        let rows = task * ROWS..((task + 1) * ROWS).min(firsts);
        for panel in rows.start / PANEL..codes.shift.len() {
            for row in rows.clone().step_by(TILE) {
                let hits = codes.tile(row, panel, similar - SLACK);
                for (r, &columns) in hits.iter().enumerate().filter(|(_, columns)| **columns != 0) {
                    let mut left = columns;
                    while left != 0 {
                        let (a, b) = (row + r, panel * PANEL + left.trailing_zeros() as usize);
                        left &= left - 1;
                        if a < b && a < firsts && b < members.len() {
                            found(a, b);
                        }
                    }
                }
            }
        }
    });
}

/// The codes of some vectors, laid out twice: as tiles of 6 rows, shifted to be unsigned, and as panels of 64 columns.
struct Codes {
    kernel: Kernel,
    /// Fours of numbers in a vector: an even number.
    fours: usize,
    /// `[rows/6 · fours]` of 6 rows by 4 numbers, shifted.
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
    fn new(kernel: Kernel, vectors: &Vectors, members: &[u32]) -> Self {
        let fours = vectors.width().div_ceil(4).next_multiple_of(2);
        let padded = members.len().next_multiple_of(ROWS);
        let mut rows = vec![kernel.shift(); padded * fours * 4];
        let stats: Vec<(i32, f32, f32)> = rows
            .par_chunks_mut(fours * 4)
            .enumerate()
            .map(|(i, row)| members.get(i).map_or((0, 0.0, 0.0), |&m| encode(kernel, vectors.get(m as usize), row)))
            .collect();
        // One layout for both: `lanes` vectors side by side, four numbers of each.
        let lay = |block: usize, lanes: usize, at: usize| {
            let (lane, k) = (at / 4, at % 4);
            rows[(block / fours * lanes + lane) * fours * 4 + block % fours * 4 + k]
        };
        let tile = |block: usize| std::array::from_fn(|at| lay(block, TILE, at));
        let panel = |block: usize| std::array::from_fn(|at| lay(block, PANEL, at).wrapping_sub(kernel.shift()) as i8);
        let of_panel = |p: usize| &stats[p * PANEL..(p + 1) * PANEL];
        let panels = padded / PANEL;
        Self {
            kernel,
            fours,
            tiles: (0..padded / TILE * fours).into_par_iter().map(tile).collect(),
            panels: (0..panels * fours).into_par_iter().map(panel).collect(),
            shift: (0..panels)
                .map(|p| std::array::from_fn(|c| -i32::from(kernel.shift()) * of_panel(p)[c].0))
                .collect(),
            scale: (0..panels).map(|p| std::array::from_fn(|c| of_panel(p)[c].1)).collect(),
            rest: (0..panels).map(|p| std::array::from_fn(|c| of_panel(p)[c].2)).collect(),
        }
    }

    /// Returns for each of the 6 rows from `row` the columns of a panel, as bits, whose cosine may be `least` or more.
    #[cfg(target_arch = "x86_64")]
    fn tile(&self, row: usize, panel: usize, least: f32) -> [u64; TILE] {
        let tile = &self.tiles[row / TILE * self.fours..][..self.fours];
        let columns = &self.panels[panel * self.fours..][..self.fours];
        let of = |all: &[[f32; PANEL]], r: usize| all[(row + r) / PANEL][(row + r) % PANEL];
        let scales = (&self.scale[panel], &self.rest[panel]);
        match self.kernel {
            Kernel::Vnni => {
                // SAFETY: `candidates` has asked for the processor's features.
                let sums = unsafe { multiply(tile, columns, &self.shift[panel]) };
                std::array::from_fn(|r| {
                    // SAFETY: as above.
                    unsafe { reach(&sums[r], scales, of(&self.scale, r), of(&self.rest, r), least) }
                })
            }
            Kernel::Avx2 => {
                // SAFETY: as above.
                let sums = unsafe { multiply_avx2(tile, columns, &self.shift[panel]) };
                std::array::from_fn(|r| {
                    // SAFETY: as above.
                    unsafe { reach_avx2(&sums[r], scales, of(&self.scale, r), of(&self.rest, r), least) }
                })
            }
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn tile(&self, _row: usize, _panel: usize, _least: f32) -> [u64; TILE] {
        unreachable!("there is no kernel")
    }
}

/// Writes the shifted code of a vector. Returns the sum of the code, its scale, and the length of what it misses.
fn encode(kernel: Kernel, vector: &[f32], row: &mut [u8]) -> (i32, f32, f32) {
    let most = vector.iter().fold(0f32, |most, v| most.max(v.abs()));
    if most == 0.0 || !most.is_finite() {
        return (0, 0.0, 0.0);
    }
    let scale = most / f32::from(kernel.most());
    let (mut sum, mut rest) = (0, 0f64);
    for (byte, v) in row.iter_mut().zip(vector) {
        let code = (v / scale).round();
        sum += code as i32;
        rest += f64::from(v - code * scale).powi(2);
        *byte = (code as i32 + i32::from(kernel.shift())) as u8;
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
fn reach(
    sums: &[__m512i; 4],
    (scales, rests): (&[f32; PANEL], &[f32; PANEL]),
    scale: f32,
    rest: f32,
    least: f32,
) -> u64 {
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

/// As [`multiply`], 8 columns in each register: two rows by 32 columns at a time, so that their sums stay in registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn multiply_avx2(tile: &[[u8; 4 * TILE]], panel: &[[i8; 4 * PANEL]], shift: &[i32; PANEL]) -> [[__m256i; 8]; TILE] {
    use std::arch::x86_64::{
        _mm256_add_epi16, _mm256_add_epi32, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set1_epi16,
        _mm256_set1_epi32,
    };
    // SAFETY: 32 bytes of each register either way, and every pattern of bits is a value of both types.
    let start = unsafe { std::mem::transmute::<[i32; PANEL], [__m256i; 8]>(*shift) };
    let mut sums = [start; TILE];
    let ones = _mm256_set1_epi16(1);
    for first in (0..TILE).step_by(2) {
        for half in [0, 4] {
            let mut own = [[start[half], start[half + 1], start[half + 2], start[half + 3]]; 2];
            for (rows, columns) in tile.chunks_exact(2).zip(panel.chunks_exact(2)) {
                // SAFETY: as above, 512 bytes each way.
                let columns = unsafe { &*columns.as_ptr().cast::<[[[u8; 32]; 8]; 2]>() };
                // SAFETY: as above.
                let column = |four: usize, c: usize| unsafe {
                    std::mem::transmute::<[u8; 32], __m256i>(columns[four][half + c])
                };
                for (r, own) in own.iter_mut().enumerate() {
                    let at = 4 * (first + r);
                    let row = |four: usize| {
                        let codes = &rows[four][at..at + 4];
                        _mm256_set1_epi32(i32::from_le_bytes([codes[0], codes[1], codes[2], codes[3]]))
                    };
                    let (low, high) = (row(0), row(1));
                    for (c, sum) in own.iter_mut().enumerate() {
                        let products = _mm256_add_epi16(
                            _mm256_maddubs_epi16(low, column(0, c)),
                            _mm256_maddubs_epi16(high, column(1, c)),
                        );
                        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(products, ones));
                    }
                }
            }
            for (r, own) in own.into_iter().enumerate() {
                sums[first + r][half..half + 4].copy_from_slice(&own);
            }
        }
    }
    sums
}

/// As [`reach`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn reach_avx2(
    sums: &[__m256i; 8],
    (scales, rests): (&[f32; PANEL], &[f32; PANEL]),
    scale: f32,
    rest: f32,
    least: f32,
) -> u64 {
    use std::arch::x86_64::{
        __m256, _CMP_GE_OQ, _mm256_add_ps, _mm256_cmp_ps, _mm256_cvtepi32_ps, _mm256_movemask_ps, _mm256_mul_ps,
        _mm256_set1_ps,
    };
    // SAFETY: 256 bytes each way, and every pattern of bits is a value of both types.
    let wide = |numbers: &[f32; PANEL]| unsafe { std::mem::transmute::<[f32; PANEL], [__m256; 8]>(*numbers) };
    let mut hits = 0;
    for (c, ((sum, scales), rests)) in sums.iter().zip(wide(scales)).zip(wide(rests)).enumerate() {
        let cosine = _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(*sum), _mm256_set1_ps(scale)), scales);
        let most = _mm256_add_ps(_mm256_mul_ps(rests, _mm256_set1_ps(1.0 + rest)), cosine);
        let reached = _mm256_cmp_ps::<_CMP_GE_OQ>(most, _mm256_set1_ps(least - rest));
        hits |= ((_mm256_movemask_ps(reached) & 0xff) as u64) << (c * PANEL / 8);
    }
    hits
}
