//! Colour jitter in HSV that leaves chosen hues alone.

use image::{Rgb, RgbImage};

/// A change of colour: the same for all pixels of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Jitter {
    /// Added to the hue, in degrees.
    pub hue: f64,
    /// Factor on the saturation.
    pub saturation: f64,
    /// Factor on the value.
    pub value: f64,
}

/// Hues that must stay, as ranges in degrees (`-15..15` is red), and by how many degrees they may still move.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeptHues {
    /// Both ends included; may cross zero.
    pub ranges: Vec<(f64, f64)>,
    /// In degrees.
    pub tolerance: f64,
}

/// Degrees outside a kept range within which the change of hue fades in, so that no edge appears where a hue crosses the range's end.
const FADE: f64 = 15.0;

impl KeptHues {
    /// Says whether a hue is kept.
    pub fn holds(&self, hue: f64) -> bool {
        self.distance(hue) == 0.0
    }

    /// Returns the degrees from a hue to the nearest kept one.
    fn distance(&self, hue: f64) -> f64 {
        let to_range = |&(low, high): &(f64, f64)| {
            let (into, width) = ((hue - low).rem_euclid(360.0), high - low);
            if into <= width { 0.0 } else { (into - width).min(360.0 - into) }
        };
        self.ranges.iter().map(to_range).fold(f64::INFINITY, f64::min)
    }
}

/// Changes the colours of a picture. A pixel with a kept hue changes only in saturation and value, and only in brightness where rounding to
/// 8 bits would move its hue by more than the tolerance: so the bound holds for the pixels as stored.
pub fn jitter(picture: &mut RgbImage, by: Jitter, kept: &KeptHues) {
    // Neighbouring pixels are often equal, and the change depends on nothing else.
    let mut last = None;
    for pixel in picture.pixels_mut() {
        let before = *pixel;
        let after = match last {
            Some((from, to)) if from == before => to,
            _ => changed(before, by, kept),
        };
        last = Some((before, after));
        *pixel = after;
    }
}

fn changed(pixel: Rgb<u8>, by: Jitter, kept: &KeptHues) -> Rgb<u8> {
    let (h, s, v) = to_hsv(pixel);
    let grey = s == 0.0;
    let distance = if grey { f64::INFINITY } else { kept.distance(h) };
    let after =
        from_hsv(h + by.hue * (distance / FADE).min(1.0), (s * by.saturation).min(1.0), (v * by.value).min(1.0));
    if !grey && distance == 0.0 && hue_of(after).is_none_or(|hue| hue_distance(hue, h) > kept.tolerance) {
        return shifted(pixel, (v * by.value).min(1.0));
    }
    after
}

/// Changes the brightness alone: the same step on all channels leaves the hue exactly as it was, also in nearly grey pixels. (Pixels that stayed as
/// they were instead would show as blotches on a plain wall.)
fn shifted(Rgb(channels): Rgb<u8>, value: f64) -> Rgb<u8> {
    let (max, min) = channels.iter().fold((0, u8::MAX), |(max, min), &c| (c.max(max), c.min(min)));
    let step = ((value * 255.0).round() as i32 - i32::from(max)).clamp(-i32::from(min), 255 - i32::from(max));
    Rgb(channels.map(|c| (i32::from(c) + step) as u8))
}

/// Returns the hue of a pixel in degrees, `0.0..360.0`; `None` for grey.
pub fn hue_of(pixel: Rgb<u8>) -> Option<f64> {
    let (h, s, _) = to_hsv(pixel);
    (s > 0.0).then_some(h)
}

/// Returns the degrees between two hues, at most 180.
pub fn hue_distance(a: f64, b: f64) -> f64 {
    let d = (a - b).rem_euclid(360.0);
    d.min(360.0 - d)
}

fn to_hsv(Rgb([r, g, b]): Rgb<u8>) -> (f64, f64, f64) {
    let (max, min) = (r.max(g).max(b), r.min(g).min(b));
    let chroma = f64::from(max - min);
    if max == min {
        return (0.0, 0.0, f64::from(max) / 255.0);
    }
    let (rf, gf, bf) = (f64::from(r), f64::from(g), f64::from(b));
    let sextant = if max == r {
        (gf - bf) / chroma
    } else if max == g {
        2.0 + (bf - rf) / chroma
    } else {
        4.0 + (rf - gf) / chroma
    };
    ((sextant * 60.0).rem_euclid(360.0), chroma / f64::from(max), f64::from(max) / 255.0)
}

fn from_hsv(hue: f64, saturation: f64, value: f64) -> Rgb<u8> {
    let channel = |n: f64| {
        let k = (n + hue / 60.0).rem_euclid(6.0);
        let v = value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0);
        (v * 255.0).round() as u8
    };
    Rgb([channel(5.0), channel(3.0), channel(1.0)])
}
