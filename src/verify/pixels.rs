//! The image processor, both resizes and LLaMA-Factory's pre-step against the goldens.

use std::path::Path;

use tch::{Kind, Tensor};

use super::compare::Rows;
use super::forward::{grids, ints, take};
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
    for i in 0..3 {
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
    let pixels = processor.video(&video(dir)?, 2.0)?;
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
    for (width, height) in [(112, 56), (210, 140), (56, 84)] {
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

/// Reads the four frames of the golden video.
pub(super) fn video(dir: &Path) -> Result<Vec<Picture>, OpError> {
    (0..4).map(|i| picture(dir, &format!("frame{i}.png"))).collect()
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
