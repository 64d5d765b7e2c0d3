//! Pictures in memory and Pillow's bicubic resize, bit for bit.

use image::{ColorType, DynamicImage};

use crate::base::OpError;

/// A picture of 8-bit samples, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha.
    pub channels: usize,
    /// `height * width * channels` samples.
    pub data: Vec<u8>,
}

/// How pixels are weighed when a picture gets another size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Cubic, a = -0.5.
    Bicubic,
    /// A triangle.
    Bilinear,
}

impl Picture {
    /// Decodes a file's bytes. The EXIF orientation is not applied, as neither reference does.
    ///
    /// # Errors
    /// `E0612` when they are no picture.
    pub fn decode(bytes: &[u8]) -> Result<Self, OpError> {
        let picture = image::load_from_memory(bytes).map_err(|e| OpError::new("E0612", format!("picture: {e}")))?;
        Ok(Self::from_image(picture))
    }

    /// Takes a decoded picture.
    pub fn from_image(picture: DynamicImage) -> Self {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let (channels, data) = match picture.color() {
            ColorType::L8 | ColorType::L16 => (1, picture.into_luma8().into_raw()),
            ColorType::La8 | ColorType::La16 => (2, picture.into_luma_alpha8().into_raw()),
            ColorType::Rgba8 | ColorType::Rgba16 | ColorType::Rgba32F => (4, picture.into_rgba8().into_raw()),
            _ => (3, picture.into_rgb8().into_raw()),
        };
        Self { width, height, channels, data }
    }

    /// Returns the picture in RGB: grey is repeated, alpha is dropped, not blended.
    pub fn to_rgb(&self) -> Self {
        let rgb = |p: &[u8]| if self.channels < 3 { [p[0]; 3] } else { [p[0], p[1], p[2]] };
        let data = self.data.chunks_exact(self.channels).flat_map(rgb).collect();
        Self { channels: 3, data, ..*self }
    }

    /// Returns the picture in another size, by Pillow's bicubic filter (a = -0.5, antialiased): first along rows, then
    /// along columns, 8 bits between; alpha is premultiplied meanwhile.
    ///
    /// # Source
    /// `Resample.c` of Pillow 12.3; equal to `resize.pil_*` of the goldens to the bit.
    pub fn resize(&self, width: usize, height: usize) -> Self {
        self.resize_by(width, height, Filter::Bicubic)
    }

    /// Returns the picture in another size as [`Self::resize`] does, by one of Pillow's filters.
    pub fn resize_by(&self, width: usize, height: usize, filter: Filter) -> Self {
        if (width, height) == (self.width, self.height) {
            return self.clone();
        }
        let alpha = self.channels % 2 == 0;
        let mut picture = self.clone();
        if alpha {
            picture.premultiply();
        }
        if width != self.width {
            picture = picture.rows_resized(width, filter);
        }
        if height != self.height {
            picture = picture.columns_resized(height, filter);
        }
        if alpha {
            picture.unpremultiply();
        }
        picture
    }

    fn rows_resized(&self, width: usize, filter: Filter) -> Self {
        let (c, filters) = (self.channels, filters(self.width, width, filter));
        let mut data = Vec::with_capacity(width * self.height * c);
        for row in self.data.chunks_exact(self.width * c) {
            for (first, weights) in &filters {
                for band in 0..c {
                    data.push(weigh(weights.iter().enumerate().map(|(i, w)| (row[(first + i) * c + band], *w))));
                }
            }
        }
        Self { width, data, ..*self }
    }

    fn columns_resized(&self, height: usize, filter: Filter) -> Self {
        let stride = self.width * self.channels;
        let mut data = Vec::with_capacity(stride * height);
        let mut sums = vec![0; stride];
        for (first, weights) in filters(self.height, height, filter) {
            sums.fill(HALF);
            // Row by row: neighbours lie side by side, so that the compiler takes several at a time.
            for (row, weight) in self.data[first * stride..].chunks_exact(stride).zip(&weights) {
                sums.iter_mut().zip(row).for_each(|(sum, &sample)| *sum += i32::from(sample) * weight);
            }
            data.extend(sums.iter().map(|&sum| rounded(sum)));
        }
        Self { height, data, ..*self }
    }

    fn premultiply(&mut self) {
        for pixel in self.data.chunks_exact_mut(self.channels) {
            let (alpha, colours) = pixel.split_last_mut().expect("at least two channels");
            for colour in colours {
                let t = u32::from(*colour) * u32::from(*alpha) + 128;
                *colour = (((t >> 8) + t) >> 8) as u8;
            }
        }
    }

    fn unpremultiply(&mut self) {
        for pixel in self.data.chunks_exact_mut(self.channels) {
            let (alpha, colours) = pixel.split_last_mut().expect("at least two channels");
            if *alpha != 0 && *alpha != 255 {
                colours.iter_mut().for_each(|c| *c = (255 * u32::from(*c) / u32::from(*alpha)).min(255) as u8);
            }
        }
    }
}

/// Fractional bits of the filter weights.
const BITS: u32 = 22;
/// Half of the last kept bit: added before the bits are dropped.
const HALF: i32 = 1 << (BITS - 1);

/// Returns for each output sample its first input sample and the weights in fixed point.
fn filters(from: usize, to: usize, filter: Filter) -> Vec<(usize, Vec<i32>)> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let support = if filter == Filter::Bicubic { 2.0 } else { 1.0 } * stretch;
    (0..to)
        .map(|out| {
            let centre = (out as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let end = ((centre + support + 0.5) as usize).min(from);
            let weights: Vec<f64> =
                (first..end).map(|x| filter.weight((x as f64 - centre + 0.5) * (1.0 / stretch))).collect();
            let total: f64 = weights.iter().sum();
            let fixed = |w: &f64| {
                let scaled = if total == 0.0 { *w } else { w / total } * f64::from(1 << BITS);
                (if scaled < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
            };
            (first, weights.iter().map(fixed).collect())
        })
        .collect()
}

impl Filter {
    fn weight(self, x: f64) -> f64 {
        match self {
            Self::Bicubic => bicubic(x),
            Self::Bilinear => (1.0 - x.abs()).max(0.0),
        }
    }
}

fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn weigh(samples: impl Iterator<Item = (u8, i32)>) -> u8 {
    rounded(HALF + samples.map(|(sample, weight)| i32::from(sample) * weight).sum::<i32>())
}

fn rounded(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}
