//! Makes batches: pads or packs encoded samples, gathers their pictures once, and computes positions and masks.
//!
//! Shapes: `b` rows, `t` tokens, `p` patches.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::config::Config;
use super::positions::{Media, RopeTime, positions};
use super::windows::Grid;
use crate::base::OpError;

/// The label of tokens that carry no loss.
pub const IGNORE: i64 = -100;

/// A picture or video as the vision tower reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pixels {
    /// Normalised values, patch by patch: `[p, 1176]`, row-major.
    pub values: Vec<f32>,
    /// Frames, rows and columns of patches.
    pub grid: Grid,
    /// Seconds per grid step, for videos.
    pub seconds: f64,
}

/// One encoded sample.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// How messages call it: a row id or ordinal.
    pub name: String,
    /// Token ids.
    pub ids: Vec<i64>,
    /// Labels, as long as the ids; [`IGNORE`] where no loss is taken.
    pub labels: Vec<i64>,
    /// Pictures in the order of their placeholders. Shared ones (same `Arc`) go through the vision tower once per batch.
    pub images: Vec<Arc<Pixels>>,
    /// Videos in the order of their placeholders.
    pub videos: Vec<Arc<Pixels>>,
    /// Whether an amplifier learns from it.
    pub teaches: bool,
}

/// What one forward reads.
pub struct Batch {
    /// `[b, t]` i64.
    pub input_ids: Tensor,
    /// `[b, t]` i64; 0 at padding.
    pub attention_mask: Tensor,
    /// `[b, t]` i64; position i is predicted by the hidden state at i - 1.
    pub labels: Tensor,
    /// `[3, b, t]` i64: time, height, width; 1 at padding.
    pub position_ids: Tensor,
    /// `[p, 1176]` f32, all different pictures.
    pub pixel_values: Option<Tensor>,
    /// Grid of each picture in `pixel_values`.
    pub image_grid_thw: Vec<Grid>,
    /// For each placeholder run in row order, which picture it shows.
    pub image_uses: Vec<usize>,
    /// For each of them, whether an amplifier learns from it; none does where this is empty.
    pub image_teaches: Vec<bool>,
    /// `[p, 1176]` f32.
    pub pixel_values_videos: Option<Tensor>,
    /// Grid of each video.
    pub video_grid_thw: Vec<Grid>,
    /// For each of them, whether an amplifier learns from it.
    pub video_teaches: Vec<bool>,
    /// First position after each row, minus the padded length.
    pub rope_deltas: Vec<i64>,
    /// `[b, 1, t, t]` booleans, true = may see; None = causal.
    pub mask: Option<Tensor>,
    /// Whether padding is on the left.
    pub left_padded: bool,
    /// Tokens that are not padding.
    pub tokens: i64,
}

/// How rows become equally long.
#[derive(Clone, Copy, Debug)]
pub struct Padding {
    /// Fills `input_ids`.
    pub id: i64,
    /// Rows are made a multiple of this long.
    pub multiple: usize,
    /// Fill on the left, for generation.
    pub left: bool,
    /// How seconds of video become positions.
    pub time: RopeTime,
}

impl Padding {
    /// Right padding to a multiple of 8, for training.
    pub fn right(id: i64) -> Self {
        Self { id, multiple: 8, left: false, time: RopeTime::Hf457 }
    }

    /// Left padding to the longest row, for generation.
    pub fn left(id: i64) -> Self {
        Self { id, multiple: 1, left: true, time: RopeTime::Hf457 }
    }
}

/// Samples that lie in one row: the first `shared` tokens are the same in all (say, one picture and its system text) and are
/// kept once; each sample's rest sees them and itself.
pub struct Group<'a> {
    /// At least one sample.
    pub samples: Vec<&'a Sample>,
    /// Tokens kept once; 0 for a sample of its own. The token after them must carry no label in any sample.
    pub shared: usize,
}

/// One row being laid out.
#[derive(Default)]
struct Row<'a> {
    ids: Vec<i64>,
    labels: Vec<i64>,
    axes: [Vec<i64>; 3],
    end: i64,
    images: Vec<&'a Arc<Pixels>>,
    videos: Vec<&'a Arc<Pixels>>,
    /// Whether an amplifier learns from each picture and each video.
    teaches: [Vec<bool>; 2],
    /// (tokens, tokens before them that they see too).
    pieces: Vec<(Range<usize>, Range<usize>)>,
}

/// Pads samples to a batch, one per row.
///
/// # Errors
/// `E0612` when pictures and placeholders of a sample disagree; the message names the sample and the picture.
pub fn collate(config: &Config, samples: &[&Sample], padding: Padding) -> Result<Batch, OpError> {
    batch(&single_rows(config, samples, padding)?, padding, false, true)
}

fn single_rows<'a>(config: &Config, samples: &[&'a Sample], padding: Padding) -> Result<Vec<Row<'a>>, OpError> {
    let row = |s: &&'a Sample| {
        let mut row = Row::default();
        row.push(config, &Group { samples: vec![*s], shared: 0 }, padding.time)?;
        Ok(row)
    };
    samples.iter().map(row).collect()
}

/// As [`collate`], without the pictures' pixels: their features are known.
///
/// # Errors
/// As [`collate`].
pub fn collate_seen(config: &Config, samples: &[&Sample], padding: Padding) -> Result<Batch, OpError> {
    batch(&single_rows(config, samples, padding)?, padding, false, false)
}

/// Packs groups of samples into rows: positions restart per sample and no sample sees another, so the loss is that of
/// unpacked samples.
///
/// # Errors
/// As [`collate`]; also when a group's shared tokens differ or the first token after them has a label.
pub fn pack(config: &Config, rows: &[Vec<Group<'_>>], padding: Padding) -> Result<Batch, OpError> {
    let rows = rows
        .iter()
        .map(|groups| {
            let mut row = Row::default();
            groups.iter().try_for_each(|g| row.push(config, g, padding.time))?;
            Ok(row)
        })
        .collect::<Result<Vec<_>, OpError>>()?;
    batch(&rows, padding, true, true)
}

impl<'a> Row<'a> {
    fn push(&mut self, config: &Config, group: &Group<'a>, time: RopeTime) -> Result<(), OpError> {
        let shared = group.shared;
        let trunk = self.ids.len()..self.ids.len() + shared;
        for (number, &sample) in group.samples.iter().enumerate() {
            let (ids, labels) = (&sample.ids, &sample.labels);
            let fail = |e: OpError| OpError { message: format!("sample {}: {}", sample.name, e.message), ..e };
            if labels.len() != ids.len() {
                return Err(fail(OpError::new("E0612", format!("{} ids but {} labels", ids.len(), labels.len()))));
            }
            let first = &group.samples[0].ids;
            if shared > 0 && (ids.len() <= shared || ids[..shared] != first[..shared] || labels[shared] != IGNORE) {
                return Err(fail(OpError::new(
                    "E0612",
                    format!("its first {shared} tokens are not the group's, or the next one carries a label"),
                )));
            }
            let media = Media {
                images: sample.images.iter().map(|p| p.grid).collect(),
                videos: sample.videos.iter().map(|p| p.grid).collect(),
                seconds: sample.videos.iter().map(|p| p.seconds).collect(),
            };
            let (axes, end) = positions(config, ids, &media, time).map_err(fail)?;
            let from = if number == 0 { 0 } else { shared };
            let begin = self.ids.len();
            self.ids.extend(&ids[from..]);
            self.labels.extend(&labels[from..]);
            for (all, new) in self.axes.iter_mut().zip(&axes) {
                all.extend(&new[from..]);
            }
            self.end = end;
            // Pictures inside the shared tokens come from the first sample alone.
            let skip = |id: i64| {
                let head = &ids[..from];
                (0..head.len()).filter(|&i| head[i] == id && (i == 0 || head[i - 1] == config.vision_start_id)).count()
            };
            self.images.extend(sample.images.iter().skip(skip(config.image_id)));
            self.videos.extend(sample.videos.iter().skip(skip(config.video_id)));
            self.teaches[0].resize(self.images.len(), sample.teaches);
            self.teaches[1].resize(self.videos.len(), sample.teaches);
            let own = if number == 0 { trunk.end } else { begin };
            if number == 0 && shared > 0 {
                self.pieces.push((trunk.clone(), 0..0));
            }
            self.pieces.push((own..self.ids.len(), trunk.clone()));
        }
        Ok(())
    }
}

fn batch(rows: &[Row<'_>], padding: Padding, packed: bool, pixels: bool) -> Result<Batch, OpError> {
    let longest = rows.iter().map(|r| r.ids.len()).max().unwrap_or(0);
    if longest == 0 {
        return Err(OpError::new("E0612", "a batch needs at least one token"));
    }
    let t = longest.next_multiple_of(padding.multiple.max(1));
    let b = rows.len() as i64;
    let place = |row: &Row| if padding.left { t - row.ids.len() } else { 0 };
    let fill = |of: &dyn Fn(&Row) -> Vec<i64>, with: i64| {
        let mut out = vec![with; rows.len() * t];
        for (i, row) in rows.iter().enumerate() {
            let start = i * t + place(row);
            out[start..start + row.ids.len()].copy_from_slice(&of(row));
        }
        Tensor::from_slice(&out).view([b, t as i64])
    };
    let axes: Vec<Tensor> = (0..3).map(|a| fill(&|r| r.axes[a].clone(), 1)).collect();
    let (mut pictures, mut image_uses): (Vec<&Arc<Pixels>>, Vec<usize>) = (Vec::new(), Vec::new());
    for picture in rows.iter().flat_map(|r| &r.images) {
        let known = pictures.iter().position(|p| Arc::ptr_eq(p, picture));
        image_uses.push(known.unwrap_or(pictures.len()));
        if known.is_none() {
            pictures.push(picture);
        }
    }
    let videos: Vec<&Arc<Pixels>> = rows.iter().flat_map(|r| &r.videos).copied().collect();
    Ok(Batch {
        input_ids: fill(&|r| r.ids.clone(), padding.id),
        attention_mask: fill(&|r| vec![1; r.ids.len()], 0),
        labels: fill(&|r| r.labels.clone(), IGNORE),
        position_ids: Tensor::stack(&axes, 0),
        pixel_values: if pixels { pixel_tensor(&pictures) } else { None },
        image_grid_thw: pictures.iter().map(|p| p.grid).collect(),
        image_uses,
        pixel_values_videos: if pixels { pixel_tensor(&videos) } else { None },
        image_teaches: rows.iter().flat_map(|r| r.teaches[0].iter().copied()).collect(),
        video_grid_thw: videos.iter().map(|p| p.grid).collect(),
        video_teaches: rows.iter().flat_map(|r| r.teaches[1].iter().copied()).collect(),
        rope_deltas: rows.iter().map(|r| r.end - t as i64).collect(),
        mask: packed.then(|| pack_mask(rows, t, padding.left)),
        left_padded: padding.left && rows.iter().any(|r| r.ids.len() < t),
        tokens: rows.iter().map(|r| r.ids.len() as i64).sum(),
    })
}

impl Batch {
    /// Returns the patches and grids of all different pictures and videos, none without any.
    pub fn pictures(&self) -> Option<(Tensor, Vec<Grid>)> {
        let pixels: Vec<_> = self.pixel_values.iter().chain(&self.pixel_values_videos).collect();
        let pixels = match pixels[..] {
            [] => return None,
            [one] => one.shallow_clone(),
            _ => Tensor::cat(&pixels, 0),
        };
        Some((pixels, self.image_grid_thw.iter().chain(&self.video_grid_thw).copied().collect()))
    }

    /// Returns the batch with its tensors on a device.
    pub fn to_device(self, device: Device) -> Self {
        if device == Device::Cpu {
            return self;
        }
        let there = |t: Tensor| t.to_device(device);
        Self {
            input_ids: there(self.input_ids),
            attention_mask: there(self.attention_mask),
            labels: there(self.labels),
            position_ids: there(self.position_ids),
            pixel_values: self.pixel_values.map(there),
            pixel_values_videos: self.pixel_values_videos.map(there),
            mask: self.mask.map(there),
            ..self
        }
    }
}

/// Returns `[b, 1, t, t]` booleans; padding sees itself, so that no row of scores is empty.
fn pack_mask(rows: &[Row<'_>], t: usize, left: bool) -> Tensor {
    let mut mask = vec![false; rows.len() * t * t];
    for (i, row) in rows.iter().enumerate() {
        let shift = if left { t - row.ids.len() } else { 0 };
        let mut at = |query: usize, key: usize| mask[(i * t + query) * t + key] = true;
        (0..t).for_each(|q| at(q, q));
        for (own, trunk) in &row.pieces {
            for query in own.clone() {
                for key in trunk.clone().chain(own.start..=query) {
                    at(query + shift, key + shift);
                }
            }
        }
    }
    Tensor::from_slice(&mask).view([rows.len() as i64, 1, t as i64, t as i64])
}

/// Returns `[p, 1176]` f32: the patches of all items; None for no item.
pub fn pixel_tensor(items: &[&Arc<Pixels>]) -> Option<Tensor> {
    let parts: Vec<Tensor> = items
        .iter()
        .map(|p| Tensor::from_slice(&p.values).view([p.grid.iter().product::<i64>(), -1]).to_kind(Kind::Float))
        .collect();
    (!parts.is_empty()).then(|| Tensor::cat(&parts, 0))
}
