//! Where each patch lies: the order of patches in the vision tower, its attention windows and its frames.
//!
//! A unit is `merge` x `merge` neighbouring patches: one LLM token.

/// A grid of patches: frames, rows, columns.
pub type Grid = [i64; 3];

/// Runs of equally long segments that lie one after the other: (number of segments, patches in each).
pub type Runs = Vec<(i64, i64)>;

/// The order in which the vision tower keeps its rows, and what attends to what.
pub struct Layout {
    /// Original unit at each place: windows sorted by size, so that equal windows form one batch without a gather.
    pub units: Vec<i64>,
    /// Attention windows in that order.
    pub windows: Runs,
    /// Frames, for the blocks that attend over whole frames.
    pub frames: Runs,
    /// Row at each place when rows are sorted by frame; None when they already are.
    pub by_frame: Option<Vec<i64>>,
}

impl Layout {
    /// Lays out the patches of all grids; `side` is the window's side in units.
    pub fn new(grids: &[Grid], merge: i64, side: i64) -> Self {
        let mut windows = windows(grids, merge, side);
        windows.sort_by_key(|w| w.units.len());
        let patches = merge * merge;
        let frame_len: Vec<i64> =
            grids.iter().flat_map(|&[t, h, w]| std::iter::repeat_n(h * w, t.max(0) as usize)).collect();
        let units = windows.iter().flat_map(|w| w.units.iter().copied()).collect();
        let rows: Vec<usize> =
            windows.iter().flat_map(|w| std::iter::repeat_n(w.frame, w.units.len() * patches as usize)).collect();
        let mut by_frame: Vec<i64> = (0..rows.len() as i64).collect();
        by_frame.sort_by_key(|&r| (frame_len[rows[r as usize]], rows[r as usize]));
        let sorted = by_frame.windows(2).all(|p| p[0] < p[1]);
        let mut lens = frame_len;
        lens.sort_unstable();
        Self {
            units,
            windows: runs(windows.iter().map(|w| w.units.len() as i64 * patches)),
            frames: runs(lens.into_iter()),
            by_frame: (!sorted).then_some(by_frame),
        }
    }
}

/// One attention window.
struct Window {
    /// Its units, row-major, as numbers over all grids.
    units: Vec<i64>,
    /// Its frame, as a number over all grids.
    frame: usize,
}

fn windows(grids: &[Grid], merge: i64, side: i64) -> Vec<Window> {
    let (mut all, mut first, mut frame) = (Vec::new(), 0, 0);
    for &[t, h, w] in grids {
        let (rows, columns) = (h / merge, w / merge);
        for _ in 0..t {
            for top in (0..rows).step_by(side as usize) {
                for left in (0..columns).step_by(side as usize) {
                    let mut units = Vec::new();
                    for y in top..(top + side).min(rows) {
                        units.extend((left..(left + side).min(columns)).map(|x| first + y * columns + x));
                    }
                    all.push(Window { units, frame });
                }
            }
            first += rows * columns;
            frame += 1;
        }
    }
    all
}

/// Returns the units in window order and the cumulative patches of the windows, as the reference does.
///
/// # Source
/// `get_window_index` of transformers 4.57.6, after `unique_consecutive`.
pub fn window_index(grids: &[Grid], merge: i64, side: i64) -> (Vec<i64>, Vec<i64>) {
    let (mut index, mut ends) = (Vec::new(), vec![0]);
    for window in windows(grids, merge, side) {
        ends.push(ends[ends.len() - 1] + window.units.len() as i64 * merge * merge);
        index.extend(window.units);
    }
    (index, ends)
}

/// Returns row and column of each patch in the processor's order: unit by unit, row-major inside.
pub fn patch_positions(grids: &[Grid], merge: i64) -> Vec<i64> {
    let mut out = Vec::new();
    for &[t, h, w] in grids {
        for _ in 0..t {
            for (a, b) in (0..h / merge).flat_map(|a| (0..w / merge).map(move |b| (a, b))) {
                for (i, j) in (0..merge).flat_map(|i| (0..merge).map(move |j| (i, j))) {
                    out.extend([merge * a + i, merge * b + j]);
                }
            }
        }
    }
    out
}

/// Returns the number of units of a grid.
pub fn units_of(grid: Grid, merge: i64) -> i64 {
    grid[0] * grid[1] * grid[2] / (merge * merge)
}

fn runs(lens: impl Iterator<Item = i64>) -> Runs {
    let mut out: Runs = Vec::new();
    for len in lens {
        match out.last_mut() {
            Some((count, last)) if *last == len => *count += 1,
            _ => out.push((1, len)),
        }
    }
    out
}
