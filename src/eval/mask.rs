//! Masks of pointing items.

use serde::Deserialize;

use super::polygon::{PolygonRule, inside};
use crate::base::{Digest, OpError};
use crate::data::blobs::Blobs;

/// Which points of a reply count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Take {
    /// The mean over all points.
    #[default]
    Mean,
    /// The best point.
    Any,
    /// The first point.
    First,
}

impl Take {
    /// Reduces the scores of a reply's points; no point scores 0.
    pub fn reduce(self, scores: &[f64]) -> f64 {
        match self {
            _ if scores.is_empty() => 0.0,
            Take::Mean => scores.iter().sum::<f64>() / scores.len() as f64,
            Take::Any => scores.iter().copied().fold(0.0, f64::max),
            Take::First => scores[0],
        }
    }
}

/// A target area: the first channel of a picture.
pub struct Mask {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    values: Vec<u8>,
}

impl Mask {
    /// Reads a mask; `via_jpeg` passes it through a lossy JPEG as FlagEvalMM's converters do (other encoder, so up to 0.02 off
    /// per item).
    pub fn load(blobs: &dyn Blobs, digest: Digest, via_jpeg: bool) -> Result<Self, OpError> {
        let mut bytes = blobs.get(digest)?;
        if via_jpeg {
            let grey = decode(&bytes, digest)?.to_luma8();
            bytes.clear();
            image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 75)
                .encode_image(&grey)
                .map_err(|e| OpError::new("E0612", format!("mask {}: {e}", digest.short())))?;
        }
        let rgb = decode(&bytes, digest)?.to_rgb8();
        Ok(Self { width: rgb.width(), height: rgb.height(), values: rgb.pixels().map(|p| p.0[0]).collect() })
    }

    /// Fills a polygon whose vertices are fractions of width and height; a pixel belongs to it by its centre.
    pub fn of_polygon(vertices: &[(f64, f64)], rule: PolygonRule, width: u32, height: u32) -> Self {
        let mut values = Vec::with_capacity(width as usize * height as usize);
        for y in 0..height {
            for x in 0..width {
                let centre = ((f64::from(x) + 0.5) / f64::from(width), (f64::from(y) + 0.5) / f64::from(height));
                values.push(if inside(centre, vertices, rule) { 255 } else { 0 });
            }
        }
        Self { width, height, values }
    }

    /// Returns the value at a pixel, 0…1; outside it is 0. With a threshold it is 1 from there on, else 0.
    pub fn at(&self, (x, y): (i64, i64), threshold: Option<f64>) -> f64 {
        if x < 0 || y < 0 || x >= i64::from(self.width) || y >= i64::from(self.height) {
            return 0.0;
        }
        let value = f64::from(self.values[y as usize * self.width as usize + x as usize]) / 255.0;
        match threshold {
            Some(t) => f64::from(u8::from(value >= t && value > 0.0)),
            None => value,
        }
    }
}

fn decode(bytes: &[u8], digest: Digest) -> Result<image::DynamicImage, OpError> {
    image::load_from_memory(bytes)
        .map_err(|e| OpError::new("E0612", format!("mask {} is no picture: {e}", digest.short())))
}
