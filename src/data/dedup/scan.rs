//! Pairs of vectors whose cosine may reach a threshold: every pair is looked at, as short codes of whole numbers, so that few have to be computed exactly.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m256i, __m512i};

use rayon::prelude::*;

use super::projection::Projection;
use super::vectors::Vectors;

/// Rows that one task multiplies with all later columns: whole tiles and whole panels. Their codes stay in a near cache.
const ROWS: usize = 192;
/// Rows and columns of one tile, whose sums stay in registers.
const TILE: usize = 6;
const PANEL: usize = 64;
/// Covers the rounding of an f32 cosine and of the comparison itself.
const SLACK: f32 = 1e-4;
/// Widest vectors whose sums surely fit 32 bits.
const WIDEST: usize = 1 << 15;
/// Most steps of the codes that a distance may have, and the lowest limit, so that limits fit 32 bits too.
const STEPS: f64 = 4096.0;
const LOWEST: f64 = -268_435_456.0;

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

/// How pairs are ruled out.
#[derive(Clone, Copy, Debug)]
pub struct Scan {
    /// The processor's instructions.
    pub kernel: Kernel,
    /// Pairs below this cosine are not wanted.
    pub similar: f32,
    /// Whether short stand-ins are fitted, which costs as much as some 100 million pairs do.
    pub short: bool,
}

impl Scan {
    /// Returns how far apart vectors of length 1 are at most that are wanted.
    pub fn distance(&self) -> f32 {
        (2.0 - 2.0 * (self.similar - SLACK)).max(0.0).sqrt()
    }

    /// Returns a map to what is compared instead of the vectors.
    pub fn projection(&self, vectors: &Vectors, members: &[u32]) -> Projection {
        Projection::fit(vectors, members, self.short, self.distance(), self.kernel.most().into())
    }

    /// Calls `found(a, b)` with the places in `members` of pairs whose first is among the first `firsts`, each once and in any order: for all whose
    /// cosine is at least `similar`, and few others.
    ///
    /// Two vectors of length 1 with a cosine `c` are `√(2 − 2c)` apart, their stand-ins ([`Projection`]) no more. A stand-in is `step · code + rest`
    /// with whole numbers from −127 to 127, or from −63 to 63, as its code, where it is not beyond these: then it is clipped, which moves no two apart. So
    /// codes that are farther apart than that distance and both rests rule a
    /// pair out.
    ///
    /// # Panics
    /// If the processor lacks the instructions.
    pub fn candidates(
        &self,
        vectors: &Vectors,
        members: &[u32],
        firsts: usize,
        found: &(impl Fn(usize, usize) + Sync),
    ) {
        let kernel = self.kernel;
        assert!(Kernel::all().contains(&kernel) && vectors.width() <= WIDEST, "a processor with {kernel:?}");
        let codes = Codes::new(kernel, &self.projection(vectors, members), self.distance(), vectors, members);
        (0..firsts.div_ceil(ROWS)).into_par_iter().for_each(|task| {
            let rows = task * ROWS..((task + 1) * ROWS).min(firsts);
            for panel in rows.start / PANEL..codes.start.len() {
                for row in rows.clone().step_by(TILE) {
                    let hits = codes.tile(row, panel);
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
}

/// The codes of some vectors, laid out twice: as tiles of 6 rows, shifted to be unsigned, and as panels of 64 columns.
struct Codes {
    kernel: Kernel,
    /// Fours of numbers in a code: an even number.
    fours: usize,
    /// `[rows/6 · fours]` of 6 rows by 4 numbers, shifted.
    tiles: Vec<[u8; 4 * TILE]>,
    /// `[columns/64 · fours]` of 64 columns by 4 numbers.
    panels: Vec<[i8; 4 * PANEL]>,
    /// What the sums of each column start with: its limit and what the shift adds, both negated.
    start: Vec<[i32; PANEL]>,
    /// Of each row of a tile the limit less 1: sums above it are near.
    limit: Vec<[i32; TILE]>,
}

impl Codes {
    fn new(kernel: Kernel, projection: &Projection, distance: f32, vectors: &Vectors, members: &[u32]) -> Self {
        let fours = projection.width().div_ceil(4).next_multiple_of(2);
        let padded = members.len().next_multiple_of(ROWS);
        let (distance, shift) = (f64::from(distance), kernel.shift());
        let step = f64::from(projection.step()).max(distance / STEPS);
        let mut rows = vec![shift; padded * fours * 4];
        // Padding is near to nothing.
        let encode = |(i, row): (usize, &mut [u8])| match members.get(i) {
            Some(&member) => encode(kernel, projection.of(vectors.get(member as usize)), step, distance, row),
            None => (0, 0),
        };
        let stats: Vec<(i32, i32)> = rows.par_chunks_mut(fours * 4).enumerate().map(encode).collect();
        // One layout for both: `lanes` vectors side by side, four numbers of each.
        let lay = |block: usize, lanes: usize, at: usize| {
            let (lane, k) = (at / 4, at % 4);
            rows[(block / fours * lanes + lane) * fours * 4 + block % fours * 4 + k]
        };
        let tile = |block: usize| std::array::from_fn(|at| lay(block, TILE, at));
        let panel = |block: usize| std::array::from_fn(|at| lay(block, PANEL, at).wrapping_sub(shift) as i8);
        let start = |p: usize| {
            let of = |c: usize| stats[p * PANEL + c];
            std::array::from_fn(|c| -i32::from(shift) * of(c).0 - of(c).1)
        };
        Self {
            kernel,
            fours,
            tiles: (0..padded / TILE * fours).into_par_iter().map(tile).collect(),
            panels: (0..padded / PANEL * fours).into_par_iter().map(panel).collect(),
            start: (0..padded / PANEL).map(start).collect(),
            limit: (0..padded / TILE).map(|t| std::array::from_fn(|r| stats[t * TILE + r].1 - 1)).collect(),
        }
    }

    /// Returns for each of the 6 rows from `row` the columns of a panel, as bits, that may be near.
    #[cfg(target_arch = "x86_64")]
    fn tile(&self, row: usize, panel: usize) -> [u64; TILE] {
        let tile = &self.tiles[row / TILE * self.fours..][..self.fours];
        let columns = &self.panels[panel * self.fours..][..self.fours];
        let (start, limit) = (&self.start[panel], &self.limit[row / TILE]);
        // SAFETY: `candidates` has asked for the processor's features.
        unsafe {
            match self.kernel {
                Kernel::Vnni => reach(tile, columns, start, limit),
                Kernel::Avx2 => reach_avx2(tile, columns, start, limit),
            }
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn tile(&self, _row: usize, _panel: usize) -> [u64; TILE] {
        unreachable!("there is no kernel")
    }
}

/// Writes the shifted code of a stand-in, which may be `moved` by rounding. Returns the sum of the code and its limit: a pair may be as near as `distance`
/// only if the product of its codes is at least the sum of both limits.
///
/// With `r` for the rest, all in steps: `|q − q'| ≤ d + r + r'` is `q · q' ≥ (q² + q'² − (d + r + r')²) / 2`, and there `2rr' ≤ r² + r'²`
/// parts what belongs to either.
fn encode(kernel: Kernel, (places, moved): (Vec<f32>, f32), step: f64, distance: f64, row: &mut [u8]) -> (i32, i32) {
    let most = f64::from(kernel.most());
    let (mut sum, mut square, mut rest) = (0, 0, 0f64);
    for (byte, v) in row.iter_mut().zip(places) {
        // Clipping moves no two places apart, so what it takes away is no rest.
        let place = (f64::from(v) / step).clamp(-most, most);
        let code = place.round();
        rest += (place - code).powi(2);
        let code = code as i32;
        sum += code;
        square += code * code;
        *byte = (code + i32::from(kernel.shift())) as u8;
    }
    let (rest, distance) = (rest.sqrt() + f64::from(moved) / step, distance / step);
    let limit = f64::from(square) / 2.0 - distance * distance / 4.0 - distance * rest - rest * rest;
    // Far below what any product of short codes is, and nothing else is moved as much as that.
    (sum, limit.max(LOWEST).floor() as i32 - 1)
}

/// Returns for each of 6 rows the columns, as bits, whose sum of products is above the row's limit: 64 columns, 16 in each register.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
fn reach(tile: &[[u8; 4 * TILE]], panel: &[[i8; 4 * PANEL]], start: &[i32; PANEL], limit: &[i32; TILE]) -> [u64; TILE] {
    use std::arch::x86_64::{_mm512_cmpgt_epi32_mask, _mm512_dpbusd_epi32, _mm512_set1_epi32};
    // SAFETY: 256 bytes each way, and every pattern of bits is a value of both types.
    let start = unsafe { std::mem::transmute::<[i32; PANEL], [__m512i; 4]>(*start) };
    let mut sums = [start; TILE];
    for (rows, columns) in tile.iter().zip(panel) {
        // SAFETY: as above.
        let columns = unsafe { std::mem::transmute::<[i8; 4 * PANEL], [__m512i; 4]>(*columns) };
        for (r, sums) in sums.iter_mut().enumerate() {
            let codes = [rows[4 * r], rows[4 * r + 1], rows[4 * r + 2], rows[4 * r + 3]];
            let row = _mm512_set1_epi32(i32::from_le_bytes(codes));
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = _mm512_dpbusd_epi32(*sum, row, column);
            }
        }
    }
    std::array::from_fn(|r| {
        let above = |c: usize| u64::from(_mm512_cmpgt_epi32_mask(sums[r][c], _mm512_set1_epi32(limit[r])));
        (0..4).fold(0, |hits, c| hits | above(c) << (c * PANEL / 4))
    })
}

/// As [`reach`], 8 columns in each register: two rows by 32 columns at a time, so that their sums stay in registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn reach_avx2(
    tile: &[[u8; 4 * TILE]],
    panel: &[[i8; 4 * PANEL]],
    start: &[i32; PANEL],
    limit: &[i32; TILE],
) -> [u64; TILE] {
    use std::arch::x86_64::{
        _mm256_add_epi16, _mm256_add_epi32, _mm256_castsi256_ps, _mm256_cmpgt_epi32, _mm256_madd_epi16,
        _mm256_maddubs_epi16, _mm256_movemask_ps, _mm256_set1_epi16, _mm256_set1_epi32,
    };
    // SAFETY: 256 bytes each way, and every pattern of bits is a value of both types.
    let start = unsafe { std::mem::transmute::<[i32; PANEL], [__m256i; 8]>(*start) };
    let mut hits = [0; TILE];
    let ones = _mm256_set1_epi16(1);
    for first in (0..TILE).step_by(2) {
        for half in [0, 4] {
            let mut sums = [[start[half], start[half + 1], start[half + 2], start[half + 3]]; 2];
            for (rows, columns) in tile.chunks_exact(2).zip(panel.chunks_exact(2)) {
                // SAFETY: as above, 512 bytes each way.
                let columns = unsafe { &*columns.as_ptr().cast::<[[[u8; 32]; 8]; 2]>() };
                // SAFETY: as above.
                let column = |four: usize, c: usize| unsafe {
                    std::mem::transmute::<[u8; 32], __m256i>(columns[four][half + c])
                };
                for (r, sums) in sums.iter_mut().enumerate() {
                    let at = 4 * (first + r);
                    let row = |four: usize| {
                        let codes = &rows[four][at..at + 4];
                        _mm256_set1_epi32(i32::from_le_bytes([codes[0], codes[1], codes[2], codes[3]]))
                    };
                    let (low, high) = (row(0), row(1));
                    for (c, sum) in sums.iter_mut().enumerate() {
                        let products = _mm256_add_epi16(
                            _mm256_maddubs_epi16(low, column(0, c)),
                            _mm256_maddubs_epi16(high, column(1, c)),
                        );
                        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(products, ones));
                    }
                }
            }
            for (r, sums) in sums.into_iter().enumerate() {
                let limit = _mm256_set1_epi32(limit[first + r]);
                for (c, sum) in sums.into_iter().enumerate() {
                    let above = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(sum, limit)));
                    hits[first + r] |= u64::from(above as u8) << ((half + c) * PANEL / 8);
                }
            }
        }
    }
    hits
}
