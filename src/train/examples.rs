//! Encoded rows and their pictures, ready to become batches.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::VisionConfig;
use crate::model::collate::{Pixels, Sample};

/// One encoded row.
#[derive(Clone, Debug, Default)]
pub struct Example {
    /// Ids and labels; without pictures, which the gallery holds.
    pub sample: Sample,
    /// Pictures in the order of their placeholders, by their number in the gallery.
    pub images: Vec<usize>,
    /// Videos likewise.
    pub videos: Vec<usize>,
    /// First tokens that rows with the same pictures may share: up to the last picture's end.
    pub shared: usize,
    /// The tokens that each image token is to predict, in any order: as many lists as there are image tokens.
    pub cells: Option<Arc<Vec<Vec<i64>>>>,
    /// Tokens of the prompt that are to predict something besides what follows them: which token, and what, in any order.
    pub phrases: Vec<(usize, Vec<i64>)>,
}

/// All pictures and videos of a data set, each once, with pixels at a quarter to an eighth of their size as f32.
///
/// A picture's normalised values take at most 256 levels per channel, and both of its frames are equal: levels are kept as bytes,
/// and the very same f32 values come back.
pub struct Gallery {
    channels: usize,
    frame: usize,
    frames: usize,
    items: Vec<Stored>,
}

enum Stored {
    Whole(Arc<Pixels>),
    Coded { grid: [i64; 3], seconds: f64, levels: Vec<Vec<f32>>, codes: Vec<u8> },
}

impl Gallery {
    /// Starts an empty gallery for a vision tower.
    pub fn new(vision: &VisionConfig) -> Self {
        Self {
            channels: vision.channels as usize,
            frame: (vision.patch * vision.patch) as usize,
            frames: vision.temporal as usize,
            items: Vec::new(),
        }
    }

    /// Adds a picture or video and returns its number.
    pub fn add(&mut self, pixels: Pixels) -> usize {
        let stored = self.coded(&pixels).unwrap_or_else(|| Stored::Whole(Arc::new(pixels)));
        self.items.push(stored);
        self.items.len() - 1
    }

    /// Returns how many pictures and videos there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Says whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Returns the grid of a picture or video.
    pub fn grid(&self, number: usize) -> [i64; 3] {
        match &self.items[number] {
            Stored::Whole(pixels) => pixels.grid,
            Stored::Coded { grid, .. } => *grid,
        }
    }

    /// Returns the samples of some rows; equal pictures are the same `Arc`.
    pub fn samples(&self, rows: &[&Example]) -> Vec<Sample> {
        let mut made: BTreeMap<usize, Arc<Pixels>> = BTreeMap::new();
        let mut pick = |numbers: &[usize]| -> Vec<Arc<Pixels>> {
            numbers.iter().map(|&n| Arc::clone(made.entry(n).or_insert_with(|| self.pixels(n)))).collect()
        };
        let sample =
            |row: &&Example| Sample { images: pick(&row.images), videos: pick(&row.videos), ..row.sample.clone() };
        rows.iter().map(sample).collect()
    }

    fn pixels(&self, number: usize) -> Arc<Pixels> {
        match &self.items[number] {
            Stored::Whole(pixels) => Arc::clone(pixels),
            Stored::Coded { grid, seconds, levels, codes } => {
                let mut values = Vec::with_capacity(codes.len() * self.frames);
                for (i, codes) in codes.chunks(self.frame).enumerate() {
                    let levels = &levels[i % self.channels];
                    for _ in 0..self.frames {
                        values.extend(codes.iter().map(|&code| levels[usize::from(code)]));
                    }
                }
                Arc::new(Pixels { values, grid: *grid, seconds: *seconds })
            }
        }
    }

    /// Codes a picture as levels, unless its frames differ or a channel has more than 256 levels.
    fn coded(&self, pixels: &Pixels) -> Option<Stored> {
        let mut levels: Vec<Vec<f32>> = vec![Vec::new(); self.channels];
        let mut known: Vec<BTreeMap<u32, u8>> = vec![BTreeMap::new(); self.channels];
        let mut codes = Vec::with_capacity(pixels.values.len() / self.frames);
        for (i, plane) in pixels.values.chunks(self.frame * self.frames).enumerate() {
            let (first, rest) = plane.split_at(self.frame.min(plane.len()));
            if rest.chunks(self.frame).any(|other| other != first) {
                return None;
            }
            let (levels, known) = (&mut levels[i % self.channels], &mut known[i % self.channels]);
            for &value in first {
                let code = match known.get(&value.to_bits()) {
                    Some(&code) => code,
                    None => {
                        let code = u8::try_from(levels.len()).ok()?;
                        known.insert(value.to_bits(), code);
                        levels.push(value);
                        code
                    }
                };
                codes.push(code);
            }
        }
        Some(Stored::Coded { grid: pixels.grid, seconds: pixels.seconds, levels, codes })
    }
}
