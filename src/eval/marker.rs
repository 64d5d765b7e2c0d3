//! `mark.*`: what a value is worth, 0…1, as declared in a recipe.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde::Deserialize;

use super::coords::Coords;
use super::item::{Item, ItemKind};
use super::mask::{Mask, Take};
use super::polygon::{PolygonRule, inside, parse};
use super::read_points::{Frame, Shape, points};
use super::read_text::{best_line, same_text};
use super::reader::{Parsed, picture_size};
use crate::base::{Digest, OpError};
use crate::data::blobs::Blobs;

/// A `mark.*` value.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "verb", content = "args")]
#[allow(missing_docs)]
pub enum Marker {
    #[serde(rename = "mark.letter")]
    Letter {},
    #[serde(rename = "mark.letters")]
    Letters {
        #[serde(default)]
        partial: bool,
    },
    #[serde(rename = "mark.text_equal")]
    TextEqual {},
    #[serde(rename = "mark.text_similar")]
    TextSimilar { t: f64 },
    #[serde(rename = "mark.near")]
    Near { abs: Option<f64>, rel: Option<f64> },
    #[serde(rename = "mark.mra")]
    Mra {},
    #[serde(rename = "mark.yes_no")]
    YesNo {},
    #[serde(rename = "mark.mask")]
    Mask {
        #[serde(default)]
        take: Take,
        #[serde(default = "half")]
        threshold: Option<f64>,
        #[serde(default)]
        via: Option<Via>,
    },
    #[serde(rename = "mark.polygon")]
    Polygon {
        #[serde(default)]
        take: Take,
        #[serde(default = "even_odd")]
        rule: PolygonRule,
    },
    #[serde(rename = "mark.pass")]
    Pass {
        inner: Box<Marker>,
        at: f64,
        #[serde(default)]
        strict: bool,
    },
}

/// A lossy detour that published scores took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// The mask was saved as a JPEG.
    Jpeg,
}

fn half() -> Option<f64> {
    Some(0.5)
}

fn even_odd() -> PolygonRule {
    PolygonRule::EvenOdd
}

/// Where masks come from, each decoded once.
pub struct Masks<'a> {
    blobs: &'a dyn Blobs,
    seen: Mutex<BTreeMap<(Digest, bool), Arc<Mask>>>,
}

impl<'a> Masks<'a> {
    /// Reads masks from here.
    pub fn new(blobs: &'a dyn Blobs) -> Self {
        Self { blobs, seen: Mutex::new(BTreeMap::new()) }
    }

    /// Returns the target area of an item: its mask, else its polygon filled over the first picture.
    pub fn of(&self, item: &Item, via_jpeg: bool) -> Result<Arc<Mask>, OpError> {
        let lost = || OpError::new("E0612", "a thread failed while it read a mask");
        if let Some(mask) = &item.mask {
            let key = (mask.digest, via_jpeg);
            if let Some(found) = self.seen.lock().map_err(|_| lost())?.get(&key) {
                return Ok(Arc::clone(found));
            }
            let read = Arc::new(Mask::load(self.blobs, mask.digest, via_jpeg)?);
            self.seen.lock().map_err(|_| lost())?.insert(key, Arc::clone(&read));
            return Ok(read);
        }
        let vertices = item.polygon.as_deref().and_then(parse).ok_or_else(|| {
            OpError::new("E0802", format!("item `{}` asks for a point but has neither a mask nor a polygon", item.id))
        })?;
        let (width, height) = picture_size(item);
        Ok(Arc::new(Mask::of_polygon(&vertices, PolygonRule::EvenOdd, width, height)))
    }
}

impl Marker {
    /// Says whether it marks items of this kind.
    pub fn fits(&self, kind: ItemKind) -> bool {
        match self {
            Marker::Letter {} => kind == ItemKind::Choice,
            Marker::Letters { .. } => kind == ItemKind::Choices,
            Marker::TextEqual {} | Marker::TextSimilar { .. } => matches!(kind, ItemKind::Text | ItemKind::Judge),
            Marker::Near { .. } => matches!(kind, ItemKind::Number | ItemKind::Point),
            Marker::Mra {} => kind == ItemKind::Number,
            Marker::YesNo {} => kind == ItemKind::YesNo,
            Marker::Mask { .. } | Marker::Polygon { .. } => kind == ItemKind::Point,
            Marker::Pass { inner, .. } => inner.fits(kind),
        }
    }

    /// Returns why it cannot mark items of a kind that it fits, if something is missing.
    pub fn lacks(&self, kind: ItemKind) -> Option<&'static str> {
        match self {
            Marker::Near { abs: None, .. } if kind == ItemKind::Point => {
                Some("`mark.near` needs `abs:` for points: the distance allowed, as a share of the picture's side")
            }
            Marker::Near { rel: Some(_), .. } if kind == ItemKind::Point => {
                Some("`mark.near` has no `rel:` for points: a place has no size that a share could be taken of")
            }
            Marker::Pass { inner, .. } => inner.lacks(kind),
            _ => None,
        }
    }

    /// Returns what a value is worth as the answer to an item, 0…1.
    pub fn mark(&self, value: &Parsed, item: &Item, coords: &Coords, masks: &Masks) -> Result<f64, OpError> {
        let one = |yes: bool| f64::from(u8::from(yes));
        Ok(match (self, value) {
            (Marker::Letter {}, Parsed::Letter(c)) => one(item.key.chars().next() == Some(*c)),
            (Marker::Letters { partial }, Parsed::Letters(said)) => {
                let share = said.len() as f64 / item.key.len().max(1) as f64;
                let fine = said.chars().all(|c| item.key.contains(c));
                if *partial && fine { share } else { one(*said == item.key) }
            }
            (Marker::TextEqual {}, Parsed::Text(t)) => one(same_text(t, &item.key)),
            (Marker::TextSimilar { t }, Parsed::Text(text)) => one(best_line(text, &item.key) > *t),
            (Marker::Mra {}, Parsed::Number(n)) => item.key.trim().parse().map_or(0.0, |key| mra(*n, key)),
            (Marker::Near { abs, rel }, Parsed::Number(n)) => item.key.trim().parse().map_or(0.0, |key: f64| {
                let allowed = abs.unwrap_or(0.0).max(rel.unwrap_or(0.0) * key.abs());
                one((n - key).abs() <= allowed)
            }),
            (Marker::Near { abs, .. }, Parsed::Points(points)) => {
                let (x, y) = key_point(&item.key).ok_or_else(|| {
                    OpError::new("E0802", format!("item `{}` is marked by distance but its key is no point", item.id))
                        .help("give `bench.sample` a `key:` such as `[(0.42, 0.31)]`, in fractions of the picture")
                })?;
                let (width, height) = picture_size(item);
                let first = coords.fractions(points, width, height).into_iter().next();
                first.map_or(0.0, |(a, b)| one((a - x).hypot(b - y) <= abs.unwrap_or(0.0)))
            }
            (Marker::YesNo {}, Parsed::YesNo(b)) => one(item.key.eq_ignore_ascii_case(if *b { "yes" } else { "no" })),
            (Marker::Mask { take, threshold, via }, Parsed::Points(points)) => {
                let mask = masks.of(item, via.is_some())?;
                let pixels = coords.pixels(points, size_shown(item, &mask), (mask.width, mask.height));
                let threshold = threshold.filter(|_| via.is_none()); // The lossy mask was never thresholded.
                take.reduce(&pixels.iter().map(|p| mask.at(*p, threshold)).collect::<Vec<_>>())
            }
            (Marker::Polygon { take, rule }, Parsed::Points(points)) => {
                let vertices = item.polygon.as_deref().and_then(parse).ok_or_else(|| {
                    OpError::new("E0802", format!("item `{}` is marked by polygon but has none", item.id))
                })?;
                let (width, height) = picture_size(item);
                let at = coords.fractions(points, width, height);
                take.reduce(&at.iter().map(|p| one(inside(*p, &vertices, *rule))).collect::<Vec<_>>())
            }
            (Marker::Pass { inner, at, strict }, value) => {
                let score = inner.mark(value, item, coords, masks)?;
                one(if *strict { score > *at } else { score >= *at })
            }
            _ => 0.0,
        })
    }
}

/// The size of the picture that was pointed into; the mask's where there is none.
fn size_shown(item: &Item, mask: &Mask) -> (u32, u32) {
    if item.images.is_empty() { (mask.width, mask.height) } else { picture_size(item) }
}

/// Returns the one point that a key consists of, in fractions of the picture: `[(0.42, 0.31)]`.
pub fn key_point(key: &str) -> Option<(f64, f64)> {
    // As `bench.sample` writes it; a baseline asks this for every place it tries.
    let plain = key.strip_prefix("[(").and_then(|k| k.strip_suffix(")]")).and_then(|k| k.split_once(", "));
    if let Some((Ok(x), Ok(y))) = plain.map(|(x, y)| (x.parse::<f64>(), y.parse::<f64>())) {
        return [x, y].iter().all(|v| (0.0..=1.0).contains(v)).then_some((x, y));
    }
    let (points, _) = points(key, false, false)?;
    match points.shapes.as_slice() {
        [Shape::Point(x, y)] if points.frame == Frame::Model && [x, y].iter().all(|v| (0.0..=1.0).contains(*v)) => {
            Some((*x, *y))
        }
        _ => None,
    }
}

/// Returns the mean relative accuracy of a prediction: the share of ten thresholds θ from 0.5 to 0.95 with
/// `|p − t| / |t| <= 1 − θ`. For a target of 0 the absolute error stands in.
///
/// # Source
/// Yang et al. 2024, Thinking in Space, eq. 1; the thresholds are bit for bit those of `numpy.linspace` as published code
/// uses them, which decides cases such as 4 for 5 (0.6, not 0.7).
pub fn mra(prediction: f64, target: f64) -> f64 {
    #[allow(clippy::excessive_precision)]
    const THETAS: [f64; 10] = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.8999999999999999, 0.95];
    let mut error = (prediction - target).abs();
    if target != 0.0 {
        error /= target.abs();
    }
    THETAS.iter().filter(|theta| error <= 1.0 - **theta).count() as f64 / 10.0
}
