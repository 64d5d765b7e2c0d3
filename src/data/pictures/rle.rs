//! Areas as COCO and LVIS write them: polygons, and run lengths in column order, plain or compressed.

use serde_json::Value as Json;

/// Returns the box `[x, y, width, height]` around an area.
///
/// # Errors
/// Says why the segmentation cannot be read.
pub fn bounds(segmentation: &Json) -> Result<[f64; 4], String> {
    let places: Vec<(f64, f64)> = match segmentation {
        Json::Array(polygons) => polygons.iter().flat_map(corners).collect(),
        Json::Object(area) => {
            let size = |i: usize| area.get("size").and_then(|s| s[i].as_u64()).ok_or("the area has no `size`");
            let (height, width) = (size(0)? as usize, size(1)? as usize);
            let counts = match area.get("counts") {
                Some(Json::String(text)) => uncompressed(text)?,
                Some(Json::Array(runs)) => runs.iter().filter_map(Json::as_u64).map(|n| n as usize).collect(),
                _ => return Err("the area has no `counts`".into()),
            };
            let filled = mask(&counts, width, height)?;
            let set = filled.iter().enumerate().filter(|(_, on)| **on).map(|(i, _)| (i % width, i / width));
            // Both corners of a pixel count, or a box would be one pixel short.
            set.flat_map(|(x, y)| [(x as f64, y as f64), (x as f64 + 1.0, y as f64 + 1.0)]).collect()
        }
        _ => return Err("the annotation has neither `bbox` nor `segmentation`".into()),
    };
    if places.is_empty() {
        return Err("the area is empty".into());
    }
    let low = |pick: fn(&(f64, f64)) -> f64| places.iter().map(pick).fold(f64::INFINITY, f64::min);
    let high = |pick: fn(&(f64, f64)) -> f64| places.iter().map(pick).fold(f64::NEG_INFINITY, f64::max);
    let (x, y) = (low(|p| p.0), low(|p| p.1));
    Ok([x, y, high(|p| p.0) - x, high(|p| p.1) - y])
}

fn corners(polygon: &Json) -> Vec<(f64, f64)> {
    let numbers: Vec<f64> = polygon.as_array().into_iter().flatten().filter_map(Json::as_f64).collect();
    numbers.chunks_exact(2).map(|p| (p[0], p[1])).collect()
}

/// Expands run lengths, off and on by turns and down the columns, to a mask in row order.
///
/// # Errors
/// When the runs do not fill the picture.
pub fn mask(counts: &[usize], width: usize, height: usize) -> Result<Vec<bool>, String> {
    let total = counts.iter().try_fold(0_usize, |sum, n| sum.checked_add(*n));
    if total != width.checked_mul(height) || width == 0 {
        return Err(format!("run lengths do not fill {width} x {height} pixels"));
    }
    let mut filled = vec![false; width * height];
    let mut at = 0;
    for (i, run) in counts.iter().enumerate() {
        if i % 2 == 1 {
            for place in at..at + run {
                filled[(place % height) * width + place / height] = true;
            }
        }
        at += run;
    }
    Ok(filled)
}

/// Expands COCO's compressed run lengths: six bits a letter from '0' on, five of them payload, little end first; from the third run on each is
/// stored as the difference to the run two before.
///
/// Source: `rleFrString` of cocoapi's `maskApi.c`.
///
/// # Errors
/// When the text is cut off or a run is negative.
pub fn uncompressed(text: &str) -> Result<Vec<usize>, String> {
    let mut counts: Vec<i64> = Vec::new();
    let mut letters = text.bytes();
    while letters.len() > 0 {
        let (mut value, mut shift) = (0_i64, 0_u32);
        loop {
            let letter = letters.next().ok_or("the run lengths are cut off")?;
            let bits = i64::from(letter) - 48;
            if !(0..64).contains(&bits) || shift > 50 {
                return Err(format!("{:?} is no letter of run lengths", char::from(letter)));
            }
            value |= (bits & 0x1f) << shift;
            shift += 5;
            if bits & 0x20 == 0 {
                if bits & 0x10 != 0 {
                    value |= -1 << shift;
                }
                break;
            }
        }
        if counts.len() > 2 {
            value += counts[counts.len() - 2];
        }
        counts.push(value);
    }
    counts.into_iter().map(|n| usize::try_from(n).map_err(|_| format!("run length {n} is negative"))).collect()
}
