//! Encoded rows and their pictures, ready to become batches.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use memmap2::Mmap;
use serde::{Deserialize, Serialize};

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
/// A picture's normalised values take at most 256 levels per channel, and both of its frames are equal, which those of a video are not: levels are kept as
/// bytes, and the very same f32 values come back.
pub struct Gallery {
    channels: usize,
    frame: usize,
    frames: usize,
    items: Vec<Stored>,
}

/// A picture or video as the gallery keeps it.
#[derive(Serialize, Deserialize)]
pub struct Packed(Stored);

#[derive(Serialize, Deserialize)]
enum Stored {
    /// As it was made.
    Whole(Pixels),
    /// `times`: how often each stretch of codes follows itself: all frames of a patch are equal in pictures, and not in videos.
    Coded {
        grid: [i64; 3],
        seconds: f64,
        levels: Vec<Vec<f32>>,
        #[serde(skip)]
        codes: Bytes,
        times: usize,
    },
}

/// Bytes of this process, or of a file that several have.
pub enum Bytes {
    /// Of this process.
    Own(Vec<u8>),
    /// A stretch of a file.
    Mapped {
        /// The file.
        map: Arc<Mmap>,
        /// First byte.
        at: usize,
        /// How many there are.
        len: usize,
    },
}

impl Default for Bytes {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Mapped { map, at, len } => &map[*at..at + len],
        }
    }
}

impl Packed {
    /// Takes the bytes out, which are most of it.
    pub fn apart(mut self) -> (Self, Bytes) {
        let bytes = match &mut self.0 {
            Stored::Whole(_) => Bytes::default(),
            Stored::Coded { codes, .. } => std::mem::take(codes),
        };
        (self, bytes)
    }

    /// Puts bytes back that were taken out.
    pub fn with(mut self, bytes: Bytes) -> Self {
        if let Stored::Coded { codes, .. } = &mut self.0 {
            *codes = bytes;
        }
        self
    }
}

impl Gallery {
    /// Starts an empty gallery for a vision tower; without one it stays empty.
    pub fn new(vision: Option<&VisionConfig>) -> Self {
        let (channels, frame, frames) = vision.map_or((1, 1, 1), |v| (v.channels, v.patch * v.patch, v.temporal));
        Self { channels: channels as usize, frame: frame as usize, frames: frames as usize, items: Vec::new() }
    }

    /// Makes what [`Self::add`] takes of a picture or video.
    pub fn packed(&self, pixels: Pixels) -> Packed {
        Packed(self.coded(&pixels).unwrap_or(Stored::Whole(pixels)))
    }

    /// Adds a picture or video and returns its number.
    pub fn add(&mut self, packed: Packed) -> usize {
        self.items.push(packed.0);
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
            Stored::Whole(pixels) => Arc::new(pixels.clone()),
            Stored::Coded { grid, seconds, levels, codes, times } => {
                let mut values = Vec::with_capacity(codes.len() * times);
                for (i, codes) in codes.chunks(self.frame * self.frames / times).enumerate() {
                    let levels = &levels[i % self.channels];
                    for _ in 0..*times {
                        values.extend(codes.iter().map(|&code| levels[usize::from(code)]));
                    }
                }
                Arc::new(Pixels { values, grid: *grid, seconds: *seconds })
            }
        }
    }

    /// Codes a picture or video as levels, unless a channel has more than 256 of them.
    fn coded(&self, pixels: &Pixels) -> Option<Stored> {
        let mut levels: Vec<Levels> = (0..self.channels).map(|_| Levels::default()).collect();
        let planes = || pixels.values.chunks(self.frame * self.frames);
        let still = planes().all(|plane| plane.chunks(self.frame).all(|frame| frame == &plane[..frame.len()]));
        let times = if still { self.frames } else { 1 };
        let mut codes = Vec::with_capacity(pixels.values.len() / times);
        for (i, plane) in planes().enumerate() {
            let levels = &mut levels[i % self.channels];
            for &value in &plane[..plane.len() / times] {
                codes.push(levels.code(value)?);
            }
        }
        let (levels, codes) = (levels.into_iter().map(|levels| levels.values).collect(), Bytes::Own(codes));
        Some(Stored::Coded { grid: pixels.grid, seconds: pixels.seconds, levels, codes, times })
    }
}

/// The different values of a channel, in the order in which they came up.
struct Levels {
    values: Vec<f32>,
    /// Open addressing: one more than the code of a value, 0 where none is.
    slots: [u16; 1024],
}

impl Default for Levels {
    fn default() -> Self {
        Self { values: Vec::new(), slots: [0; 1024] }
    }
}

impl Levels {
    /// Returns the code of a value, a new one if it is new; none beyond 256.
    fn code(&mut self, value: f32) -> Option<u8> {
        let mut at = (value.to_bits().wrapping_mul(0x9E37_79B1) >> 22) as usize;
        while let Some(code) = self.slots[at].checked_sub(1) {
            if self.values[usize::from(code)].to_bits() == value.to_bits() {
                return Some(code as u8);
            }
            at = (at + 1) % self.slots.len();
        }
        let code = u8::try_from(self.values.len()).ok()?;
        self.values.push(value);
        self.slots[at] = u16::from(code) + 1;
        Some(code)
    }
}
