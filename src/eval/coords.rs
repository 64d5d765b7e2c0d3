//! Coordinate spaces: a property of the model, never of the benchmark.

use serde::{Deserialize, Serialize};

use super::read_points::{Frame, Points, Shape};

/// What the numbers of a point mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Space {
    /// Fractions of width and height.
    Unit,
    /// Thousandths of width and height.
    Norm1000,
    /// Pixels of the picture as the model saw it.
    PixelInput,
    /// Pixels of the picture as it is stored.
    PixelOriginal,
    /// Decided once per run from the first replies, see [`decide`].
    Auto,
}

/// How a model writes coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Coords {
    /// What the numbers mean.
    pub space: Space,
    /// The first number is y.
    #[serde(default)]
    pub yx: bool,
    /// Least and most pixels of a picture after resizing, for [`Space::PixelInput`].
    #[serde(default = "default_pixels")]
    pub pixels: (u64, u64),
}

fn default_pixels() -> (u64, u64) {
    (3136, 12_845_056)
}

impl Default for Coords {
    fn default() -> Self {
        Self { space: Space::Unit, yx: false, pixels: default_pixels() }
    }
}

impl Coords {
    /// Returns the sentence that tells a model how to write coordinates: what fills `{coord_hint}`.
    pub fn hint(&self, width: u32, height: u32) -> String {
        match self.space {
            Space::Unit | Space::Auto => "Both between 0 and 1.".to_owned(),
            Space::Norm1000 => "Both between 0 and 1000.".to_owned(),
            Space::PixelOriginal => format!("In pixels of the {width} x {height} picture."),
            Space::PixelInput => {
                let (h, w) = smart_resize(height, width, self.pixels.0, self.pixels.1).unwrap_or((height, width));
                format!("In pixels of the {w} x {h} picture.")
            }
        }
    }

    /// Converts one pair of numbers, said of a picture, to pixels of an image of it that may have another size; not yet rounded.
    fn scale(&self, (a, b): (f64, f64), frame: Frame, picture: (u32, u32), image: (u32, u32)) -> (f64, f64) {
        let (w, h) = (f64::from(image.0), f64::from(image.1));
        let (x, y) = if self.yx && frame == Frame::Model { (b, a) } else { (a, b) };
        let of = |(width, height): (u32, u32)| {
            if (width, height) == image {
                return (x, y);
            }
            (x * w / f64::from(width.max(1)), y * h / f64::from(height.max(1)))
        };
        match (frame, self.space) {
            (Frame::Pixels, _) => (x, y),
            (Frame::Percent, _) => (x / 100.0 * w, y / 100.0 * h),
            (Frame::Model, Space::Unit | Space::Auto) => (x * w, y * h),
            (Frame::Model, Space::Norm1000) => (x / 1000.0 * w, y / 1000.0 * h),
            (Frame::Model, Space::PixelOriginal) => of(picture),
            (Frame::Model, Space::PixelInput) => {
                let seen = smart_resize(picture.1, picture.0, self.pixels.0, self.pixels.1);
                of(seen.map_or(picture, |(height, width)| (width, height)))
            }
        }
    }

    /// Converts points to pixels of an image of the picture, such as its mask, rounded down. Both sizes are width and height.
    ///
    /// A unit coordinate of exactly 1 is the last pixel; everything else outside stays outside and will be a miss.
    pub fn pixels(&self, points: &Points, picture: (u32, u32), image: (u32, u32)) -> Vec<(i64, i64)> {
        let mut out = Vec::new();
        let (width, height) = image;
        for shape in &points.shapes {
            match *shape {
                Shape::Point(x, y) => {
                    let (mut px, mut py) = self.scale((x, y), points.frame, picture, image);
                    if points.frame == Frame::Model && matches!(self.space, Space::Unit | Space::Auto) {
                        px = if px == f64::from(width) { px - 1.0 } else { px };
                        py = if py == f64::from(height) { py - 1.0 } else { py };
                    }
                    out.push((px.floor() as i64, py.floor() as i64));
                }
                Shape::Box(x1, y1, x2, y2) => {
                    let (a, b) = self.scale((x1, y1), points.frame, picture, image);
                    let (c, d) = self.scale((x2, y2), points.frame, picture, image);
                    let span = |from: f64, to: f64, most: u32| {
                        (from.floor() as i64).clamp(0, i64::from(most))..(to.floor() as i64).clamp(0, i64::from(most))
                    };
                    for y in span(b.min(d), b.max(d), height) {
                        out.extend(span(a.min(c), a.max(c), width).map(|x| (x, y)));
                    }
                }
            }
        }
        out
    }

    /// Converts points to fractions of a picture's width and height; a box gives its centre.
    pub fn fractions(&self, points: &Points, width: u32, height: u32) -> Vec<(f64, f64)> {
        let (w, h) = (f64::from(width.max(1)), f64::from(height.max(1)));
        let centre = |shape: &Shape| match *shape {
            Shape::Point(x, y) => (x, y),
            Shape::Box(a, b, c, d) => ((a + c) / 2.0, (b + d) / 2.0),
        };
        let scaled =
            points.shapes.iter().map(|s| self.scale(centre(s), points.frame, (width, height), (width, height)));
        scaled.map(|(x, y)| (x / w, y / h)).collect()
    }

    /// Converts points to x and y, boxes to two corners, in fractions of a picture's width and height; a box that counts as its centre
    /// comes after it.
    pub fn drawn(&self, points: &Points, width: u32, height: u32) -> Vec<Vec<f64>> {
        let (w, h) = (f64::from(width.max(1)), f64::from(height.max(1)));
        let place = |x: f64, y: f64| {
            let (x, y) = self.scale((x, y), points.frame, (width, height), (width, height));
            [x / w, y / h]
        };
        let of = |shape: &Shape| match *shape {
            Shape::Point(x, y) => place(x, y).to_vec(),
            Shape::Box(a, b, c, d) => [place(a, b), place(c, d)].concat(),
        };
        points.shapes.iter().chain(&points.boxes).map(of).collect()
    }
}

/// How many replies of a run write numbers of each kind. Whole numbers up to 1 may be any of them and are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// At most 1.
    pub unit: usize,
    /// At most 1000, some above 1.
    pub thousand: usize,
    /// Some above 1000.
    pub pixel: usize,
}

impl Spread {
    /// Counts replies with points.
    pub fn of<'a>(replies: impl Iterator<Item = &'a Points>) -> Self {
        let mut out = Self::default();
        for points in replies.filter(|p| p.frame == Frame::Model) {
            let numbers = || points.shapes.iter().flat_map(numbers_of);
            let most = numbers().fold(f64::NEG_INFINITY, f64::max);
            if most > 1000.0 {
                out.pixel += 1;
            } else if most > 1.0 {
                out.thousand += 1;
            } else if numbers().any(|n| n.fract() != 0.0) {
                out.unit += 1;
            }
        }
        out
    }

    /// Returns the share of replies that do not write their numbers as the space wants them.
    pub fn strange(&self, space: Space) -> f64 {
        let all = self.unit + self.thousand + self.pixel;
        let fitting = match space {
            Space::Unit | Space::Auto => self.unit,
            Space::Norm1000 => self.thousand,
            Space::PixelInput | Space::PixelOriginal => self.thousand + self.pixel,
        };
        (all - fitting) as f64 / all.max(1) as f64
    }
}

fn numbers_of(shape: &Shape) -> Vec<f64> {
    match *shape {
        Shape::Point(x, y) => vec![x, y],
        Shape::Box(a, b, c, d) => vec![a, b, c, d],
    }
}

/// More replies than this that write their numbers otherwise are told of.
pub const MIXED: f64 = 0.05;

/// Decides what [`Space::Auto`] means for a run from all its replies; fractions without any point.
///
/// Most replies decide: numbers up to 1 with decimals mean fractions. Among larger ones a twentieth above 1000 means pixels; JSON points
/// of at most 1000 mean thousandths, other numbers pixels.
pub fn decide<'a>(replies: impl Iterator<Item = &'a Points> + Clone) -> Space {
    let seen = Spread::of(replies.clone());
    let large = seen.thousand + seen.pixel;
    if large <= seen.unit {
        return Space::Unit;
    }
    let json = replies.filter(|p| p.frame == Frame::Model).all(|p| p.json);
    if json && seen.pixel as f64 <= MIXED * large as f64 { Space::Norm1000 } else { Space::PixelOriginal }
}

/// Returns the size `(height, width)` at which Qwen2.5-VL sees a picture; `None` when a side is more than 200 times the other.
///
/// # Units
/// pixels; both results are multiples of 28.
///
/// # Source
/// `smart_resize` of Qwen2.5-VL's processor with factor 28; ties round to even.
pub fn smart_resize(height: u32, width: u32, least: u64, most: u64) -> Option<(u32, u32)> {
    const FACTOR: f64 = 28.0;
    let (h, w) = (f64::from(height), f64::from(width));
    if h == 0.0 || w == 0.0 || h.max(w) / h.min(w) > 200.0 {
        return None;
    }
    let round = |x: f64| ((x / FACTOR).round_ties_even() * FACTOR).max(FACTOR);
    let (mut hi, mut wi) = (round(h), round(w));
    if hi * wi > most as f64 {
        let beta = (h * w / most as f64).sqrt();
        hi = ((h / beta / FACTOR).floor() * FACTOR).max(FACTOR);
        wi = ((w / beta / FACTOR).floor() * FACTOR).max(FACTOR);
    } else if hi * wi < least as f64 {
        let beta = (least as f64 / (h * w)).sqrt();
        hi = (h * beta / FACTOR).ceil() * FACTOR;
        wi = (w * beta / FACTOR).ceil() * FACTOR;
    }
    Some((hi as u32, wi as u32))
}
