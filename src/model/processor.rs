//! Pictures and video frames to normalised patches, as the fast processor of transformers makes them.

use std::path::Path;

use serde_json::Value as Json;
use tch::{Kind, Tensor};

use super::collate::Pixels;
use super::picture::Picture;
use crate::base::OpError;

/// The processor of a model folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Processor {
    /// Side of a patch in pixels.
    pub patch: usize,
    /// Frames per patch.
    pub temporal: usize,
    /// Patches per side of one LLM token.
    pub merge: usize,
    /// Fewest pixels of a picture after resizing.
    pub min_pixels: usize,
    /// Most pixels of a picture after resizing.
    pub max_pixels: usize,
    /// Mean of each channel, of samples in 0..=1.
    pub mean: [f32; 3],
    /// Deviation of each channel.
    pub std: [f32; 3],
}

/// Pixel limits of LLaMA-Factory's own resize, before the processor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelLimits {
    /// A larger picture is shrunk to this.
    pub max: usize,
    /// A smaller picture is enlarged to this.
    pub min: usize,
}

impl PixelLimits {
    /// LLaMA-Factory's defaults for pictures: 768 x 768 and 1024 pixels.
    pub const IMAGE: Self = Self { max: 768 * 768, min: 1024 };
    /// LLaMA-Factory's defaults for each frame of a video.
    pub const FRAME: Self = Self { max: 65536, min: 256 };
}

impl Processor {
    /// Reads `preprocessor_config.json` of a folder.
    ///
    /// # Errors
    /// `E0501` when it is absent, `E0503` when it cannot be read.
    pub fn load(dir: &Path) -> Result<Self, OpError> {
        let path = dir.join("preprocessor_config.json");
        let bytes = std::fs::read(&path).map_err(|e| OpError::new("E0501", format!("{}: {e}", path.display())))?;
        let json: Json =
            serde_json::from_slice(&bytes).map_err(|e| OpError::new("E0503", format!("{}: {e}", path.display())))?;
        let count = |key: &str, edge: &str, default: usize| {
            let value = json.get(key).filter(|v| !v.is_null()).or_else(|| json.get("size")?.get(edge));
            value.and_then(Json::as_u64).map_or(default, |v| v as usize)
        };
        let three = |key: &str, default: [f32; 3]| {
            json.get(key).and_then(|v| serde_json::from_value(v.clone()).ok()).unwrap_or(default)
        };
        Ok(Self {
            patch: count("patch_size", "", 14),
            temporal: count("temporal_patch_size", "", 2),
            merge: count("merge_size", "", 2),
            min_pixels: count("min_pixels", "shortest_edge", 56 * 56),
            max_pixels: count("max_pixels", "longest_edge", 28 * 28 * 16384),
            mean: three("image_mean", [0.481_454_66, 0.457_827_5, 0.408_210_73]),
            std: three("image_std", [0.268_629_54, 0.261_302_6, 0.275_777_1]),
        })
    }

    /// Returns the side that picture sides are made a multiple of.
    pub fn factor(&self) -> usize {
        self.patch * self.merge
    }

    /// Returns the number of LLM tokens of a picture or video.
    pub fn tokens(&self, pixels: &Pixels) -> i64 {
        pixels.grid.iter().product::<i64>() / (self.merge * self.merge) as i64
    }

    /// Processes one picture.
    ///
    /// # Errors
    /// `E0612` when its sides differ by more than 200 times.
    pub fn image(&self, picture: &Picture) -> Result<Pixels, OpError> {
        self.frames(std::slice::from_ref(picture), 1.0)
    }

    /// Processes the frames of one video, all of the same size; `fps` is that of the given frames. An odd number of frames is
    /// completed with the last one.
    ///
    /// # Errors
    /// `E0612` when there are no frames or their sizes differ.
    pub fn video(&self, frames: &[Picture], fps: f64) -> Result<Pixels, OpError> {
        self.frames(frames, self.temporal as f64 / fps)
    }

    fn frames(&self, frames: &[Picture], seconds: f64) -> Result<Pixels, OpError> {
        let Some(first) = frames.first() else {
            return Err(OpError::new("E0612", "a video needs at least one frame"));
        };
        let (height, width) = smart_resize(first.height, first.width, self.factor(), self.min_pixels, self.max_pixels)?;
        let mut planes = Vec::new();
        for (i, frame) in frames.iter().enumerate() {
            if (frame.width, frame.height) != (first.width, first.height) {
                return Err(OpError::new(
                    "E0612",
                    format!(
                        "frame {} is {}x{}, but the first is {}x{}",
                        i + 1,
                        frame.width,
                        frame.height,
                        first.width,
                        first.height
                    ),
                ));
            }
            planes.push(resized(&frame.to_rgb(), width, height)?);
        }
        let steps = frames.len().div_ceil(self.temporal);
        let grid = [steps as i64, (height / self.patch) as i64, (width / self.patch) as i64];
        Ok(Pixels { values: self.patches(&planes, steps, width, height), grid, seconds })
    }

    /// Normalises samples and lays them out patch by patch: (step, block row, block column, row, column, channel, frame, y, x).
    fn patches(&self, planes: &[Vec<u8>], steps: usize, width: usize, height: usize) -> Vec<f32> {
        // (x - mean * 255) / (std * 255) in f32, as the fused step of the reference.
        let table: Vec<[f32; 256]> = (0..3)
            .map(|c| std::array::from_fn(|x| (x as f32 - self.mean[c] * 255.0) / (self.std[c] * 255.0)))
            .collect();
        let (p, m) = (self.patch, self.merge);
        let mut out = Vec::with_capacity(steps * self.temporal * 3 * width * height);
        for step in 0..steps {
            for (by, bx) in (0..height / p / m).flat_map(|y| (0..width / p / m).map(move |x| (y, x))) {
                for (i, j) in (0..m).flat_map(|i| (0..m).map(move |j| (i, j))) {
                    let (top, left) = ((by * m + i) * p, (bx * m + j) * p);
                    for (c, values) in table.iter().enumerate() {
                        for frame in 0..self.temporal {
                            let plane = &planes[(step * self.temporal + frame).min(planes.len() - 1)];
                            for y in top..top + p {
                                let start = (c * height + y) * width + left;
                                out.extend(plane[start..start + p].iter().map(|&s| values[usize::from(s)]));
                            }
                        }
                    }
                }
            }
        }
        out
    }
}

/// Returns height and width as multiples of `factor` with between `min` and `max` pixels, the shape kept as well as may be.
///
/// # Errors
/// `E0612` when a side is 0 or one is more than 200 times the other.
///
/// # Source
/// `smart_resize` of transformers 4.57.6: rounds half to even; equal to all rows of `tables.json`.
pub fn smart_resize(
    height: usize,
    width: usize,
    factor: usize,
    min: usize,
    max: usize,
) -> Result<(usize, usize), OpError> {
    let (h, w, f) = (height as f64, width as f64, factor as f64);
    if height == 0 || width == 0 || h.max(w) / h.min(w) > 200.0 {
        return Err(OpError::new(
            "E0612",
            format!("a picture of {width}x{height} pixels: one side is more than 200 times the other"),
        ));
    }
    let mut out = ((h / f).round_ties_even() * f, (w / f).round_ties_even() * f);
    if out.0 * out.1 > max as f64 {
        let beta = ((h * w) / max as f64).sqrt();
        out = (f.max((h / beta / f).floor() * f), f.max((w / beta / f).floor() * f));
    } else if out.0 * out.1 < min as f64 {
        let beta = (min as f64 / (h * w)).sqrt();
        out = ((h * beta / f).ceil() * f, (w * beta / f).ceil() * f);
    }
    Ok((out.0 as usize, out.1 as usize))
}

/// Resizes a picture into LLaMA-Factory's pixel limits and makes it RGB, before the processor resizes it again.
///
/// # Errors
/// `E0612` when a side becomes 0.
///
/// # Source
/// `_preprocess_image` of LLaMA-Factory's Qwen2-VL plugin; equal to `lf_regularized.*` of the goldens to the bit.
pub fn regularize(picture: &Picture, limits: PixelLimits) -> Result<Picture, OpError> {
    let sizes = regular_sizes(picture.width, picture.height, limits)?;
    let (in_mode, in_rgb) = sizes.split_at(2);
    let mut picture = picture.clone();
    for &(w, h) in in_mode {
        picture = picture.resize(w, h);
    }
    picture = picture.to_rgb();
    for &(w, h) in in_rgb {
        picture = picture.resize(w, h);
    }
    Ok(picture)
}

/// Returns the sizes through which [`regularize`] goes: two in the picture's own mode, then three in RGB.
///
/// # Errors
/// `E0612` when a side becomes 0.
pub fn regular_sizes(width: usize, height: usize, limits: PixelLimits) -> Result<[(usize, usize); 5], OpError> {
    let scaled = |(w, h): (usize, usize), to: usize| {
        let f = (to as f64 / (w * h) as f64).sqrt();
        ((w as f64 * f) as usize, (h as f64 * f) as usize)
    };
    let mut sizes = [(width, height); 5];
    let none = |(w, h): (usize, usize)| {
        if w == 0 || h == 0 {
            return Err(OpError::new(
                "E0612",
                format!("a picture of {width}x{height} pixels is too narrow to be resized"),
            ));
        }
        Ok((w, h))
    };
    none((width, height))?;
    sizes[0] = if width * height > limits.max { none(scaled((width, height), limits.max))? } else { (width, height) };
    sizes[1] = if sizes[0].0 * sizes[0].1 < limits.min { none(scaled(sizes[0], limits.min))? } else { sizes[0] };
    let (w, h) = sizes[1];
    sizes[2] = if w.min(h) < 28 { (w.max(28), h.max(28)) } else { (w, h) };
    let (w, h) = sizes[2];
    sizes[3] = if w as f64 / h as f64 > 200.0 { (h * 180, h) } else { (w, h) };
    let (w, h) = sizes[3];
    sizes[4] = if h as f64 / w as f64 > 200.0 { (w, w * 180) } else { (w, h) };
    Ok(sizes)
}

/// Resizes an RGB picture with libtorch's own 8-bit kernel and returns its three planes.
///
/// # Errors
/// When libtorch fails.
pub fn resized(picture: &Picture, width: usize, height: usize) -> Result<Vec<u8>, OpError> {
    let (h, w) = (picture.height as i64, picture.width as i64);
    let mut planes = Tensor::from_slice(&picture.data).view([h, w, 3]).permute([2, 0, 1]).contiguous().unsqueeze(0);
    if (picture.width, picture.height) != (width, height) {
        planes = planes
            .f_internal_upsample_bicubic2d_aa([height as i64, width as i64], false, None, None)
            .map_err(|e| OpError::new("E0612", format!("resize to {width}x{height}: {e}")))?;
    }
    Ok(Vec::try_from(planes.to_kind(Kind::Uint8).contiguous().view([-1])).unwrap_or_default())
}
