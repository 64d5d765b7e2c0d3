//! Pictures to patches: LLaMA-Factory's size rule, then the image processor of Qwen2-VL.

use std::path::Path;

use image::RgbImage;
use serde_json::Value as Json;
use tch::{Device, Kind, Tensor, no_grad};

use super::encoder::Limits;
use crate::base::OpError;
use crate::data::media;
use crate::model::Config;
use crate::model::collate::Pixels;

/// Makes patches of pictures.
pub struct Processor {
    least: f64,
    most: f64,
    before: (f64, f64),
    patch: usize,
    merge: usize,
    temporal: usize,
    /// Normalised value of each level, per channel.
    levels: [[f32; 256]; 3],
}

impl Processor {
    /// Reads `preprocessor_config.json` of a model folder.
    ///
    /// # Errors
    /// `E0501` when it is absent, `E0503` when it is no JSON.
    pub fn open(folder: &Path, config: &Config, limits: &Limits) -> Result<Self, OpError> {
        let path = folder.join("preprocessor_config.json");
        let text = std::fs::read(&path).map_err(|e| OpError::new("E0501", format!("{}: {e}", path.display())))?;
        let json: Json =
            serde_json::from_slice(&text).map_err(|e| OpError::new("E0503", format!("{}: {e}", path.display())))?;
        let number =
            |names: [&str; 2], default: f64| names.iter().find_map(|n| json.pointer(n)?.as_f64()).unwrap_or(default);
        let three = |name: &str, default: [f64; 3]| -> [f64; 3] {
            serde_json::from_value(json.get(name).cloned().unwrap_or(Json::Null)).unwrap_or(default)
        };
        let mean = three("image_mean", [0.481_454_66, 0.457_827_5, 0.408_210_73]);
        let deviation = three("image_std", [0.268_629_54, 0.261_302_58, 0.275_777_11]);
        // As the fast processor folds the scale into mean and deviation, in f32.
        let scale = (1.0 / (1.0 / 255.0)) as f32;
        let level = |c: usize, u: usize| (u as f32 - mean[c] as f32 * scale) / (deviation[c] as f32 * scale);
        Ok(Self {
            least: number(["/min_pixels", "/size/shortest_edge"], 3136.0),
            most: number(["/max_pixels", "/size/longest_edge"], 12_845_056.0),
            before: (limits.pixels.0.unwrap_or(1) as f64, limits.pixels.1.map_or(f64::INFINITY, |p| p as f64)),
            patch: config.vision.patch as usize,
            merge: config.vision.merge as usize,
            temporal: config.vision.temporal as usize,
            levels: std::array::from_fn(|c| std::array::from_fn(|u| level(c, u))),
        })
    }

    /// Makes patches of an encoded picture.
    pub fn image(&self, bytes: &[u8]) -> Result<Pixels, String> {
        let (_, picture) = media::decode(bytes)?;
        let picture = self.regularised(picture.to_rgb8());
        let (w, h) = (picture.width() as usize, picture.height() as usize);
        let (height, width) = self.smart_size(h as f64, w as f64)?;
        let planar =
            |picture: &RgbImage| Tensor::from_slice(picture.as_raw()).view([h as i64, w as i64, 3]).permute([2, 0, 1]);
        let levels: Vec<u8> = if (height, width) == (h, w) {
            Vec::try_from(planar(&picture).contiguous().view([-1])).unwrap_or_default()
        } else {
            let sized = no_grad(|| {
                planar(&picture).unsqueeze(0).contiguous().internal_upsample_bicubic2d_aa(
                    [height as i64, width as i64],
                    false,
                    None,
                    None,
                )
            });
            Vec::try_from(sized.to_device(Device::Cpu).to_kind(Kind::Uint8).contiguous().view([-1])).unwrap_or_default()
        };
        Ok(self.patches(&levels, height, width))
    }

    /// Videos are read as ready frames only; a file is not.
    pub fn video(&self, _: &[u8], media: &str) -> Result<Pixels, String> {
        Err(format!("a video file ({media}) cannot be decoded here: give its frames as `images`"))
    }

    /// LLaMA-Factory's rule before the processor.
    fn regularised(&self, picture: RgbImage) -> RgbImage {
        let area = |p: &RgbImage| f64::from(p.width()) * f64::from(p.height());
        let scaled = |p: RgbImage, to: f64| {
            let factor = (to / area(&p)).sqrt();
            let side = |n: u32| ((f64::from(n) * factor) as u32).max(1);
            bicubic(&p, side(p.width()), side(p.height()))
        };
        let mut picture = picture;
        if area(&picture) > self.before.1 {
            picture = scaled(picture, self.before.1);
        }
        if area(&picture) < self.before.0 {
            picture = scaled(picture, self.before.0);
        }
        let (w, h) = (picture.width(), picture.height());
        if w.min(h) < 28 {
            picture = bicubic(&picture, w.max(28), h.max(28));
        }
        let (w, h) = (picture.width(), picture.height());
        if w / h > 200 {
            picture = bicubic(&picture, h * 180, h);
        } else if h / w > 200 {
            picture = bicubic(&picture, w, w * 180);
        }
        picture
    }

    /// Qwen's `smart_resize`: sides as multiples of a merged patch, area within the limits, ties to even.
    fn smart_size(&self, h: f64, w: f64) -> Result<(usize, usize), String> {
        let factor = (self.patch * self.merge) as f64;
        if h.max(w) / h.min(w) > 200.0 {
            return Err(format!("its sides are {w} x {h}: more than 200 to 1"));
        }
        let (mut height, mut width) =
            ((h / factor).round_ties_even() * factor, (w / factor).round_ties_even() * factor);
        if height * width > self.most {
            let beta = (h * w / self.most).sqrt();
            height = ((h / beta / factor).floor() * factor).max(factor);
            width = ((w / beta / factor).floor() * factor).max(factor);
        } else if height * width < self.least {
            let beta = (self.least / (h * w)).sqrt();
            height = (h * beta / factor).ceil() * factor;
            width = (w * beta / factor).ceil() * factor;
        }
        Ok((height as usize, width as usize))
    }

    /// Normalises planar levels `[3, h, w]` and orders them patch by patch: merge unit, patch within it, then channel, frame, y, x.
    fn patches(&self, levels: &[u8], height: usize, width: usize) -> Pixels {
        let (p, m) = (self.patch, self.merge);
        let (rows, columns) = (height / p, width / p);
        let mut values = Vec::with_capacity(levels.len() * self.temporal);
        for unit in 0..rows / m * (columns / m) {
            let (a, b) = (unit / (columns / m) * m, unit % (columns / m) * m);
            for inner in 0..m * m {
                let (top, left) = ((a + inner / m) * p, (b + inner % m) * p);
                for c in 0..3 {
                    let start = values.len();
                    for y in top..top + p {
                        let line = (c * height + y) * width + left;
                        values.extend(levels[line..line + p].iter().map(|&u| self.levels[c][usize::from(u)]));
                    }
                    for _ in 1..self.temporal {
                        values.extend_from_within(start..start + p * p);
                    }
                }
            }
        }
        Pixels { values, grid: [1, rows as i64, columns as i64], seconds: 0.0 }
    }
}

/// Resizes as Pillow's BICUBIC does: antialiased, horizontally first, 8 bits between the passes.
fn bicubic(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (w, h) = (picture.width() as usize, picture.height() as usize);
    let source: Vec<u8> = picture.as_raw().clone();
    let wide = resample(&source, w, h, width as usize);
    let turned = transpose(&wide, width as usize, h);
    let high = resample(&turned, h, width as usize, height as usize);
    let data = transpose(&high, height as usize, width as usize);
    RgbImage::from_raw(width, height, data).unwrap_or_else(|| picture.clone())
}

/// Resamples each row of `[h, w, 3]` to a new width.
fn resample(data: &[u8], w: usize, h: usize, width: usize) -> Vec<u8> {
    const BITS: u32 = 22;
    let scale = w as f64 / width as f64;
    let stretch = scale.max(1.0);
    let support = 2.0 * stretch;
    let kernel = |x: f64| -> f64 {
        let (x, a) = (x.abs(), -0.5);
        match x {
            x if x < 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
            x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * a,
            _ => 0.0,
        }
    };
    let taps: Vec<(usize, Vec<i64>)> = (0..width)
        .map(|out| {
            let centre = (out as f64 + 0.5) * scale;
            let from = (centre - support + 0.5).max(0.0) as usize;
            let to = ((centre + support + 0.5) as usize).min(w);
            let weights: Vec<f64> = (from..to).map(|x| kernel((x as f64 - centre + 0.5) / stretch)).collect();
            let sum: f64 = weights.iter().sum();
            let fixed = |v: &f64| (v / sum * f64::from(1_u32 << BITS)).round() as i64;
            (from, weights.iter().map(fixed).collect())
        })
        .collect();
    let mut out = Vec::with_capacity(width * h * 3);
    for row in data.chunks(w * 3).take(h) {
        for (from, weights) in &taps {
            for c in 0..3 {
                let sum: i64 = weights.iter().enumerate().map(|(i, k)| k * i64::from(row[(from + i) * 3 + c])).sum();
                out.push(((sum + (1 << (BITS - 1))) >> BITS).clamp(0, 255) as u8);
            }
        }
    }
    out
}

/// Swaps rows and columns of `[h, w, 3]`.
fn transpose(data: &[u8], w: usize, h: usize) -> Vec<u8> {
    let mut out = vec![0; data.len()];
    for y in 0..h {
        for x in 0..w {
            out[(x * h + y) * 3..][..3].copy_from_slice(&data[(y * w + x) * 3..][..3]);
        }
    }
    out
}
