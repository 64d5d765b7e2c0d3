//! Wider canvases around a picture, and how to fill the margin.

use image::imageops::{FilterType, replace, resize};
use image::{Rgb, RgbImage};

/// What a margin shows.
#[derive(Clone, Copy, Debug)]
pub enum Margin<'a> {
    /// The nearest border pixel.
    Edge,
    /// The picture mirrored at its border, border pixels not repeated.
    Reflect,
    /// The nearest border pixel, and along the widest margin a row of hazard marks: this picture, or black and yellow stripes.
    Mark(Option<&'a RgbImage>),
}

/// Lays a picture on a canvas with its corner at `at` and fills the margin.
pub fn extend(picture: &RgbImage, canvas: (u32, u32), at: (u32, u32), margin: Margin<'_>) -> RgbImage {
    let (w, h) = (i64::from(picture.width()), i64::from(picture.height()));
    let reflect = matches!(margin, Margin::Reflect);
    let source = |position: u32, start: u32, length: i64| -> u32 {
        let i = i64::from(position) - i64::from(start);
        let i = if reflect && length > 1 {
            let folded = i.rem_euclid(2 * length - 2);
            folded.min(2 * length - 2 - folded)
        } else {
            i.clamp(0, length - 1)
        };
        i as u32
    };
    let columns: Vec<u32> = (0..canvas.0).map(|x| source(x, at.0, w)).collect();
    let rows: Vec<u32> = (0..canvas.1).map(|y| source(y, at.1, h)).collect();
    let mut out =
        RgbImage::from_fn(canvas.0, canvas.1, |x, y| *picture.get_pixel(columns[x as usize], rows[y as usize]));
    if let Margin::Mark(mark) = margin {
        let (x, y, width, height) = widest(picture, canvas, at);
        implant(&mut out, (x, y, width, height), mark);
    }
    out
}

/// Returns how busy the border of a picture is: the mean step of brightness between neighbours along a strip of a sixteenth of the sides, 0..255.
pub fn busyness(picture: &RgbImage) -> f64 {
    let (w, h) = picture.dimensions();
    let strip = (w.min(h) / 16).max(1);
    let luma = |x: u32, y: u32| {
        let Rgb([r, g, b]) = *picture.get_pixel(x, y);
        0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b)
    };
    let (mut sum, mut count) = (0.0, 0_u32);
    for y in 0..h {
        for x in 0..w {
            let near = x < strip || y < strip || x + strip >= w || y + strip >= h;
            if near && x + 1 < w && y + 1 < h {
                sum += (luma(x, y) - luma(x + 1, y)).abs() + (luma(x, y) - luma(x, y + 1)).abs();
                count += 2;
            }
        }
    }
    if count == 0 { 0.0 } else { sum / f64::from(count) }
}

/// Returns the widest of the four margins as x, y, width, height.
fn widest(picture: &RgbImage, canvas: (u32, u32), at: (u32, u32)) -> (u32, u32, u32, u32) {
    let (right, bottom) = (canvas.0 - at.0 - picture.width(), canvas.1 - at.1 - picture.height());
    let sides = [
        (at.0, (0, 0, at.0, canvas.1)),
        (right, (canvas.0 - right, 0, right, canvas.1)),
        (at.1, (0, 0, canvas.0, at.1)),
        (bottom, (0, canvas.1 - bottom, canvas.0, bottom)),
    ];
    sides.into_iter().max_by_key(|s| s.0).map_or((0, 0, 0, 0), |s| s.1)
}

fn implant(out: &mut RgbImage, (x, y, width, height): (u32, u32, u32, u32), mark: Option<&RgbImage>) {
    let thick = width.min(height);
    if thick == 0 {
        return;
    }
    match mark {
        Some(mark) => {
            let tile = resize(mark, thick, thick, FilterType::Triangle);
            let across = width >= height;
            let count = width.max(height) / thick;
            for i in 0..count {
                let (dx, dy) = if across { (i * thick, 0) } else { (0, i * thick) };
                replace(out, &tile, i64::from(x + dx), i64::from(y + dy));
            }
        }
        None => {
            let (black, yellow, stripe) = (Rgb([24, 24, 24]), Rgb([240, 200, 16]), thick.max(4));
            for j in 0..height {
                for i in 0..width {
                    let color = if ((i + j) / stripe) % 2 == 0 { yellow } else { black };
                    out.put_pixel(x + i, y + j, color);
                }
            }
        }
    }
}
