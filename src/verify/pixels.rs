//! The image processor, both resizes and LLaMA-Factory's pre-step against the goldens.

use std::path::Path;

use tch::{Kind, Tensor};

use super::compare::Rows;
use super::forward::{Tensors, grids, ints, take};
use crate::base::OpError;
use crate::model::collate::Pixels;
use crate::model::processor::{PixelLimits, regularize, resized};
use crate::model::{Picture, Processor, weights};

/// Runs these checks.
pub(super) fn check(dir: &Path) -> Result<Rows, OpError> {
    let mut rows = Rows::default();
    let golden = weights::read(&dir.join("processor.safetensors"))?;
    let get = |name: &str| take(&golden, name);
    let processor = Processor::load(&dir.join("model"))?;
    for i in 0..pictures(&golden) {
        let picture = picture(dir, &format!("img{i}.png"))?;
        let pixels = processor.image(&picture)?;
        rows.equal(
            &format!("processor.img{i}.grid"),
            &vec![pixels.grid],
            &grids(&get(&format!("img{i}.image_grid_thw"))?),
        );
        rows.close(
            &format!("processor.img{i}.pixel_values"),
            &tensor(&pixels),
            &get(&format!("img{i}.pixel_values_fast"))?,
            1e-6,
            0.0,
        );
        let regular = regularize(&picture, PixelLimits { max: 9000, min: 1024 })?;
        rows.equal(
            &format!("lf_regularized.img{i}"),
            &samples(&regular),
            &golden_samples(&get(&format!("lf_regularized.img{i}_u8"))?),
        );
    }
    let pixels = video(dir, &processor, &golden)?;
    rows.equal("processor.video.grid", &vec![pixels.grid], &grids(&get("video.video_grid_thw")?));
    rows.close("processor.video.pixel_values", &tensor(&pixels), &get("video.pixel_values_videos")?, 1e-6, 0.0);
    rows.number(
        "processor.video.seconds",
        pixels.seconds,
        get("video.second_per_grid_ts")?.double_value(&[0]),
        1e-6,
        0.0,
    );

    let source = golden_picture(&get("resize.src_u8")?);
    for (width, height) in golden.keys().filter_map(|name| size_of(name)) {
        let pil = source.resize(width, height);
        rows.equal(
            &format!("resize.pil_{width}x{height}"),
            &samples(&pil),
            &golden_samples(&get(&format!("resize.pil_{width}x{height}_u8"))?),
        );
        let planes = Tensor::from_slice(&resized(&source, width, height)?).view([3, height as i64, width as i64]);
        rows.close(
            &format!("resize.torch_{width}x{height}"),
            &planes.permute([1, 2, 0]),
            &get(&format!("resize.torch_{width}x{height}_u8"))?,
            0.0,
            0.0,
        );
    }
    Ok(rows)
}

/// Reads a golden picture file.
pub(super) fn picture(dir: &Path, name: &str) -> Result<Picture, OpError> {
    Picture::decode(&std::fs::read(dir.join("images").join(name))?)
}

/// Returns how many golden pictures there are.
pub(super) fn pictures(golden: &Tensors) -> usize {
    (0..).take_while(|i| golden.contains_key(&format!("img{i}.image_grid_thw"))).count()
}

/// Processes the golden video: its frames as they lie there, at the rate that the golden seconds tell.
pub(super) fn video(dir: &Path, processor: &Processor, golden: &Tensors) -> Result<Pixels, OpError> {
    let name = |i: usize| format!("frame{i}.png");
    let frames = (0..).map(name).take_while(|name| dir.join("images").join(name).exists());
    let frames = frames.map(|name| picture(dir, &name)).collect::<Result<Vec<_>, _>>()?;
    let seconds = take(golden, "video.second_per_grid_ts")?.double_value(&[0]);
    processor.video(&frames, processor.temporal as f64 / seconds)
}

/// Reads width and height from the name of a resized golden.
fn size_of(name: &str) -> Option<(usize, usize)> {
    let (width, height) = name.strip_prefix("resize.pil_")?.strip_suffix("_u8")?.split_once('x')?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

fn tensor(pixels: &Pixels) -> Tensor {
    Tensor::from_slice(&pixels.values).view([pixels.grid.iter().product::<i64>(), -1])
}

fn samples(picture: &Picture) -> (usize, usize, Vec<i64>) {
    (picture.height, picture.width, picture.data.iter().map(|&x| i64::from(x)).collect())
}

fn golden_samples(tensor: &Tensor) -> (usize, usize, Vec<i64>) {
    let size = tensor.size();
    (size[0] as usize, size[1] as usize, ints(tensor))
}

fn golden_picture(tensor: &Tensor) -> Picture {
    let (height, width, data) = golden_samples(&tensor.to_kind(Kind::Int64));
    Picture { width, height, channels: 3, data: data.into_iter().map(|x| x as u8).collect() }
}
