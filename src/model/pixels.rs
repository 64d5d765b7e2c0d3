//! Pictures as numbers for encoders with one fixed size, as `preprocessor_config.json` says.

use std::path::Path;

use serde_json::Value as Json;
use tch::{Kind, Tensor};

use super::encoder::json;
use super::picture::{Filter, Picture};
use crate::base::OpError;

/// How pictures are prepared.
pub struct Pixels {
    /// Height of what comes out, in pixels.
    pub height: usize,
    /// Width of what comes out, in pixels.
    pub width: usize,
    /// Shorter side after resizing, when proportions are kept and the middle is cut out; else both sides are stretched.
    shortest: Option<usize>,
    filter: Filter,
    factor: f64,
    mean: [f64; 3],
    std: [f64; 3],
}

impl Pixels {
    /// Reads the file; a size that is one number means both sides when `square`, else the shorter one.
    ///
    /// # Errors
    /// `E0501` when it is absent, `E0503` when it asks for something else than resizing, cutting and scaling.
    pub fn load(dir: &Path, square: bool) -> Result<Self, OpError> {
        let file = json(&dir.join("preprocessor_config.json"))?;
        let bad = |key: &str| OpError::new("E0503", format!("preprocessor_config.json: `{key}` is {}", file[key]));
        let both = |size: &Json| {
            let one = size.as_u64().map(|n| (n, n));
            let (height, width) = one.or_else(|| Some((size["height"].as_u64()?, size["width"].as_u64()?)))?;
            Some((usize::try_from(height).ok()?, usize::try_from(width).ok()?)).filter(|(h, w)| *h > 0 && *w > 0)
        };
        let edge = file["size"]["shortest_edge"].as_u64().or_else(|| file["size"].as_u64().filter(|_| !square));
        let shortest = edge.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
        let cut = file["do_center_crop"].as_bool().unwrap_or(!square);
        let (height, width) = match shortest {
            Some(_) if !cut => return Err(bad("do_center_crop")),
            Some(_) => both(&file["crop_size"]).ok_or_else(|| bad("crop_size"))?,
            None => both(&file["size"]).ok_or_else(|| bad("size"))?,
        };
        if shortest.is_some_and(|n| n < height.max(width)) {
            return Err(bad("crop_size"));
        }
        for key in ["do_resize", "do_rescale", "do_normalize"] {
            if file[key] == Json::Bool(false) {
                return Err(bad(key));
            }
        }
        let filter = match file["resample"].as_u64() {
            None | Some(3) => Filter::Bicubic,
            Some(2) => Filter::Bilinear,
            _ => return Err(bad("resample")),
        };
        let three = |key: &str| -> Result<[f64; 3], OpError> {
            let numbers: Vec<f64> = file[key].as_array().into_iter().flatten().filter_map(Json::as_f64).collect();
            numbers.try_into().map_err(|_| bad(key))
        };
        let factor = file["rescale_factor"].as_f64().unwrap_or(1.0 / 255.0);
        Ok(Self { height, width, shortest, filter, factor, mean: three("image_mean")?, std: three("image_std")? })
    }

    /// Returns `[3, height, width]` f32: alpha dropped, resized by Pillow's filter, cut in the middle, normalised.
    ///
    /// # Source
    /// `CLIPImageProcessor` and `SiglipImageProcessor` of transformers 4.57.6.
    pub fn of(&self, picture: &Picture) -> Tensor {
        let picture = picture.to_rgb();
        let (w, h) = (picture.width, picture.height);
        let (wide, high) = match self.shortest {
            None => (self.width, self.height),
            Some(edge) if w <= h => (edge, edge * h / w.max(1)),
            Some(edge) => (edge * w / h.max(1), edge),
        };
        let resized = picture.resize_by(wide, high, self.filter);
        let (left, top) = ((wide - self.width) / 2, (high - self.height) / 2);
        let mut data = Vec::with_capacity(3 * self.width * self.height);
        for band in 0..3 {
            for y in top..top + self.height {
                let row = &resized.data[(y * wide + left) * 3..(y * wide + left + self.width) * 3];
                let scaled = |p: &[u8]| ((f64::from(p[band]) * self.factor - self.mean[band]) / self.std[band]) as f32;
                data.extend(row.chunks_exact(3).map(scaled));
            }
        }
        Tensor::from_slice(&data).view([3, self.height as i64, self.width as i64]).to_kind(Kind::Float)
    }
}
