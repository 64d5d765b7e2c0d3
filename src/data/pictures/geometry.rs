//! Affine moves of the picture plane: pixels, points, boxes and masks go the same way.

use image::{GrayImage, Luma, Rgb, RgbImage};

/// Where every place of a picture goes. Places are in pixels, the centre of the first pixel is (0.5, 0.5).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Move {
    /// `x' = a x + b y + c`, `y' = d x + e y + f`
    forward: [f64; 6],
    from: (u32, u32),
    to: (u32, u32),
}

impl Move {
    /// Zooms by `scale`, turns by `degrees` (clockwise as seen) and perhaps mirrors left and right, all about the centre; the size stays.
    pub fn about_centre(size: (u32, u32), scale: f64, degrees: f64, mirrored: bool) -> Self {
        let (cx, cy) = (f64::from(size.0) / 2.0, f64::from(size.1) / 2.0);
        let (sin, cos) = degrees.to_radians().sin_cos();
        let side = if mirrored { -1.0 } else { 1.0 };
        let (a, b, d, e) = (scale * cos * side, -scale * sin, scale * sin * side, scale * cos);
        Self { forward: [a, b, cx - a * cx - b * cy, d, e, cy - d * cx - e * cy], from: size, to: size }
    }

    /// Lays a picture of `size` on a `canvas` with its corner at `at`.
    pub fn placed(size: (u32, u32), canvas: (u32, u32), at: (u32, u32)) -> Self {
        Self { forward: [1.0, 0.0, f64::from(at.0), 0.0, 1.0, f64::from(at.1)], from: size, to: canvas }
    }

    /// Returns the same move for a picture of another size, corner to corner in proportion; used when a mask is smaller than its picture.
    #[must_use]
    pub fn resized(&self, from: (u32, u32)) -> Self {
        let (kx, ky) =
            (f64::from(from.0) / f64::from(self.from.0.max(1)), f64::from(from.1) / f64::from(self.from.1.max(1)));
        let [a, b, c, d, e, f] = self.forward;
        let to = ((f64::from(self.to.0) * kx).round() as u32, (f64::from(self.to.1) * ky).round() as u32);
        Self { forward: [a, b * kx / ky, c * kx, d * ky / kx, e, f * ky], from, to: (to.0.max(1), to.1.max(1)) }
    }

    /// Returns where a place goes, in pixels.
    pub fn point(&self, x: f64, y: f64) -> (f64, f64) {
        let [a, b, c, d, e, f] = self.forward;
        (a * x + b * y + c, d * x + e * y + f)
    }

    /// Returns where a point in unit coordinates goes, in unit coordinates; `None` when it leaves the picture.
    pub fn unit_point(&self, x: f64, y: f64) -> Option<(f64, f64)> {
        let (px, py) = self.point(x * f64::from(self.from.0), y * f64::from(self.from.1));
        let (ux, uy) = (px / f64::from(self.to.0), py / f64::from(self.to.1));
        ((0.0..=1.0).contains(&ux) && (0.0..=1.0).contains(&uy)).then_some((ux, uy))
    }

    /// Returns the upright box around a moved box `[x, y, width, height]` in pixels, cut at the border; `None` when its centre leaves the picture.
    pub fn rect(&self, [x, y, w, h]: [f64; 4]) -> Option<[f64; 4]> {
        let corners = [(x, y), (x + w, y), (x, y + h), (x + w, y + h)].map(|(x, y)| self.point(x, y));
        let (cx, cy) = self.point(x + w / 2.0, y + h / 2.0);
        let (right, bottom) = (f64::from(self.to.0), f64::from(self.to.1));
        if !(0.0..=right).contains(&cx) || !(0.0..=bottom).contains(&cy) {
            return None;
        }
        let span = |pick: fn(&(f64, f64)) -> f64, end: f64| {
            let low = corners.iter().map(pick).fold(f64::INFINITY, f64::min).clamp(0.0, end);
            let high = corners.iter().map(pick).fold(f64::NEG_INFINITY, f64::max).clamp(0.0, end);
            (low, high - low)
        };
        let ((x, w), (y, h)) = (span(|p| p.0, right), span(|p| p.1, bottom));
        Some([x, y, w, h])
    }

    /// Returns the share of a moved box `[x, y, width, height]` that stays in the picture, taken over the upright box around it; 1 for a box
    /// without area.
    pub fn seen(&self, [x, y, w, h]: [f64; 4]) -> f64 {
        let corners = [(x, y), (x + w, y), (x, y + h), (x + w, y + h)].map(|(x, y)| self.point(x, y));
        let share = |pick: fn(&(f64, f64)) -> f64, end: u32| {
            let low = corners.iter().map(pick).fold(f64::INFINITY, f64::min);
            let high = corners.iter().map(pick).fold(f64::NEG_INFINITY, f64::max);
            let inside = (high.min(f64::from(end)) - low.max(0.0)).max(0.0);
            if high > low { inside / (high - low) } else { 1.0 }
        };
        share(|p| p.0, self.to.0) * share(|p| p.1, self.to.1)
    }

    /// Returns the linear zoom factor.
    fn zoom(&self) -> f64 {
        let [a, b, _, d, e, _] = self.forward;
        (a * e - b * d).abs().sqrt()
    }

    fn inverse(&self) -> [f64; 6] {
        let [a, b, c, d, e, f] = self.forward;
        let det = a * e - b * d;
        let (ia, ib, id, ie) = (e / det, -b / det, -d / det, a / det);
        [ia, ib, -(ia * c + ib * f), id, ie, -(id * c + ie * f)]
    }
}

/// Moves the pixels: bilinear, several samples a pixel when the picture shrinks to under three quarters; what was outside the picture takes its
/// nearest border pixel, because a mirrored border would show an object twice.
pub fn warp(picture: &RgbImage, by: &Move) -> RgbImage {
    let [a, b, c, d, e, f] = by.inverse();
    let zoom = by.zoom();
    let samples = if zoom >= 0.75 { 1 } else { (1.0 / zoom).ceil().min(8.0) as u32 };
    let step = 1.0 / f64::from(samples);
    let mut out = RgbImage::new(by.to.0, by.to.1);
    for (u, v, pixel) in out.enumerate_pixels_mut() {
        let mut sum = [0.0_f32; 3];
        for i in 0..samples * samples {
            let x = f64::from(u) + (f64::from(i % samples) + 0.5) * step;
            let y = f64::from(v) + (f64::from(i / samples) + 0.5) * step;
            let value = bilinear(picture, (a * x + b * y + c - 0.5) as f32, (d * x + e * y + f - 0.5) as f32);
            for (s, v) in sum.iter_mut().zip(value) {
                *s += v;
            }
        }
        let n = (samples * samples) as f32;
        *pixel = Rgb(sum.map(|s| (s / n + 0.5) as u8));
    }
    out
}

/// Moves a mask: nearest pixel, black where the picture ends.
pub fn warp_mask(mask: &GrayImage, by: &Move) -> GrayImage {
    let [a, b, c, d, e, f] = by.inverse();
    GrayImage::from_fn(by.to.0, by.to.1, |u, v| {
        let (x, y) = (f64::from(u) + 0.5, f64::from(v) + 0.5);
        let (sx, sy) = ((a * x + b * y + c).floor(), (d * x + e * y + f).floor());
        let inside = sx >= 0.0 && sy >= 0.0 && sx < f64::from(mask.width()) && sy < f64::from(mask.height());
        if inside { *mask.get_pixel(sx as u32, sy as u32) } else { Luma([0]) }
    })
}

fn bilinear(picture: &RgbImage, x: f32, y: f32) -> [f32; 3] {
    let (right, bottom) = (picture.width() as f32 - 1.0, picture.height() as f32 - 1.0);
    let (x, y) = (x.clamp(0.0, right), y.clamp(0.0, bottom));
    let (x0, y0) = (x as u32, y as u32);
    let (x1, y1) = ((x0 + 1).min(right as u32), (y0 + 1).min(bottom as u32));
    let (fx, fy) = (x - x0 as f32, y - y0 as f32);
    let raw = picture.as_raw();
    let at = |x: u32, y: u32| (y as usize * picture.width() as usize + x as usize) * 3;
    let (p00, p10, p01, p11) = (at(x0, y0), at(x1, y0), at(x0, y1), at(x1, y1));
    std::array::from_fn(|k| {
        let top = f32::from(raw[p00 + k]) * (1.0 - fx) + f32::from(raw[p10 + k]) * fx;
        let low = f32::from(raw[p01 + k]) * (1.0 - fx) + f32::from(raw[p11 + k]) * fx;
        top * (1.0 - fy) + low * fy
    })
}
