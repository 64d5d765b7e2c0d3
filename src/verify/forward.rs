//! Weights, positions, activations, logits, losses, gradients and the reward head against the goldens.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value as Json;
use tch::{Device, Kind, Reduction, Tensor, no_grad};

use super::compare::Rows;
use crate::base::OpError;
use crate::model::collate::Batch;
use crate::model::positions::{Media, RopeTime, positions};
use crate::model::rope::planar_angles;
use crate::model::windows::{Grid, patch_positions, window_index};
use crate::model::{Config, QwenVl, RewardHead, weights};

/// Tensors of a file, by name.
pub(super) type Tensors = BTreeMap<String, Tensor>;

/// Runs these checks.
pub(super) fn check(dir: &Path, device: Device) -> Result<Rows, OpError> {
    let mut rows = Rows::default();
    let model = QwenVl::load(&dir.join("model"), device, Kind::Float)?;
    let parameters = json(&dir.join("info.json"))?["params"].as_i64().unwrap_or(0);
    rows.equal("load.parameters", &model.params.counts().0, &parameters);
    mrope(&mut rows, dir, &model.config)?;
    let pixels = weights::read(&dir.join("processor.safetensors"))?;
    let batches = weights::read(&dir.join("batch.safetensors"))?;
    no_grad(|| activations(&mut rows, dir, &model, &pixels))?;
    for k in 0..2 {
        let batch = golden_batch(&batches, &pixels, k)?;
        no_grad(|| logits(&mut rows, &model, &batch, &batches, k))?;
        if k == 0 {
            no_grad(|| reward(&mut rows, dir, &model, &batch))?;
            no_grad(|| tied(&mut rows, dir, &batch, device))?;
        }
    }
    round_trip(&mut rows, dir, &model)?;
    gradients(&mut rows, dir, model, [golden_batch(&batches, &pixels, 0)?, golden_batch(&batches, &pixels, 1)?])?;
    Ok(rows)
}

/// Reads a JSON file.
pub(super) fn json(path: &Path) -> Result<Json, OpError> {
    let bytes = std::fs::read(path).map_err(|e| OpError::new("E0501", format!("{}: {e}", path.display())))?;
    serde_json::from_slice(&bytes).map_err(|e| OpError::new("E0503", format!("{}: {e}", path.display())))
}

/// Takes a named golden.
pub(super) fn take(tensors: &Tensors, name: &str) -> Result<Tensor, OpError> {
    tensors.get(name).map(Tensor::shallow_clone).ok_or_else(|| OpError::new("E0501", format!("no golden `{name}`")))
}

/// Reads grids from a golden `[n, 3]`.
pub(super) fn grids(tensor: &Tensor) -> Vec<Grid> {
    let flat: Vec<i64> = ints(tensor);
    flat.chunks(3).map(|c| [c[0], c[1], c[2]]).collect()
}

/// Reads all integers of a golden.
pub(super) fn ints(tensor: &Tensor) -> Vec<i64> {
    Vec::try_from(tensor.to_kind(Kind::Int64).contiguous().view([-1])).unwrap_or_default()
}

/// Builds the golden micro-batch `k` from its tensors.
pub(super) fn golden_batch(batches: &Tensors, pixels: &Tensors, k: usize) -> Result<Batch, OpError> {
    let get = |name: &str| take(batches, &format!("mb{k}.{name}"));
    let attention_mask = get("attention_mask")?;
    let image_grid_thw = get("image_grid_thw").map(|g| grids(&g)).unwrap_or_default();
    let video_grid_thw = get("video_grid_thw").map(|g| grids(&g)).unwrap_or_default();
    let images = (0..image_grid_thw.len())
        .map(|i| take(pixels, &format!("img{i}.pixel_values_fast")))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Batch {
        input_ids: get("input_ids")?,
        labels: get("labels")?,
        position_ids: get("position_ids")?,
        pixel_values: (!images.is_empty()).then(|| Tensor::cat(&images, 0)),
        image_uses: (0..image_grid_thw.len()).collect(),
        image_teaches: Vec::new(),
        image_grid_thw,
        pixel_values_videos: if video_grid_thw.is_empty() {
            None
        } else {
            Some(take(pixels, "video.pixel_values_videos")?)
        },
        video_grid_thw,
        video_teaches: Vec::new(),
        rope_deltas: ints(&get("rope_deltas")?),
        mask: None,
        left_padded: false,
        tokens: attention_mask.sum(Kind::Int64).int64_value(&[]),
        attention_mask,
    })
}

fn mrope(rows: &mut Rows, dir: &Path, config: &Config) -> Result<(), OpError> {
    let tensors = weights::read(&dir.join("mrope.safetensors"))?;
    let cases = json(&dir.join("mrope_cases.json"))?;
    for case in cases.as_array().into_iter().flatten() {
        let name = case["name"].as_str().unwrap_or("");
        let get = |what: &str| take(&tensors, &format!("{name}.{what}"));
        let (ids, mask) = (get("input_ids")?, get("attention_mask")?);
        let (b, t) = ids.size2().map_err(|e| OpError::new("E0503", e.to_string()))?;
        let (ids, mask, t) = (ints(&ids), ints(&mask), t as usize);
        let list = |key: &str| -> Vec<Grid> { serde_json::from_value(case[key].clone()).unwrap_or_default() };
        let (mut images, mut videos) = (list("image_grid_thw").into_iter(), list("video_grid_thw").into_iter());
        let mut seconds: std::vec::IntoIter<f64> =
            serde_json::from_value::<Vec<f64>>(case["second_per_grid_ts"].clone()).unwrap_or_default().into_iter();
        let mut ours = vec![1; 3 * b as usize * t];
        let mut deltas = Vec::new();
        for row in 0..b as usize {
            let real: Vec<usize> = (0..t).filter(|&i| mask[row * t + i] == 1).collect();
            let tokens: Vec<i64> = real.iter().map(|&i| ids[row * t + i]).collect();
            let starts = |id: i64| tokens.windows(2).filter(|w| w[0] == config.vision_start_id && w[1] == id).count();
            let media = Media {
                images: images.by_ref().take(starts(config.image_id)).collect(),
                videos: videos.by_ref().take(starts(config.video_id)).collect(),
                seconds: seconds.by_ref().take(starts(config.video_id)).collect(),
            };
            let (axes, end) = positions(config, &tokens, &media, RopeTime::Hf457)?;
            for (axis, values) in axes.iter().enumerate() {
                real.iter().zip(values).for_each(|(&i, &v)| ours[(axis * b as usize + row) * t + i] = v);
            }
            deltas.push(end - t as i64);
        }
        rows.equal(&format!("mrope.{name}.position_ids"), &ours, &ints(&get("position_ids")?));
        rows.equal(&format!("mrope.{name}.rope_deltas"), &deltas, &ints(&get("rope_deltas")?));
    }
    Ok(())
}

fn activations(rows: &mut Rows, dir: &Path, model: &QwenVl, pixels: &Tensors) -> Result<(), OpError> {
    let golden = weights::read(&dir.join("activations.safetensors"))?;
    let get = |name: &str| take(&golden, name);
    let (Some(vision), Some(tower)) = (&model.config.vision, &model.vision) else {
        return Err(OpError::new("E0503", "the golden model has no vision tower"));
    };
    let (merge, side) = (vision.merge, vision.window_units());
    let grid = grids(&take(pixels, "img0.image_grid_thw")?);
    for (name, grids) in [("vision", grid.clone()), ("all_grids", grids(&get("all_grids.grid_thw")?))] {
        let (index, ends) = window_index(&grids, merge, side);
        rows.equal(&format!("{name}.window_index"), &index, &ints(&get(&format!("{name}.window_index"))?));
        rows.equal(&format!("{name}.cu_window_seqlens"), &ends, &ints(&get(&format!("{name}.cu_window_seqlens"))?));
    }
    let places = Tensor::from_slice(&patch_positions(&grid, merge)).view([-1, 2]);
    rows.close(
        "vision.rot_pos_emb",
        &planar_angles(&places, vision.hidden / vision.heads),
        &get("vision.rot_pos_emb")?,
        1e-6,
        1e-6,
    );

    let (window_order, _) = window_index(&grid, merge, side);
    let d = vision.hidden;
    let mut seen = Vec::new();
    let out = tower.observed(&take(pixels, "img0.pixel_values_fast")?, &grid, &mut |_, x, units| {
        // Our rows are in our own order: bring them into the reference's window order.
        if units.is_empty() {
            return seen.push(x.shallow_clone());
        }
        let place: Vec<i64> =
            window_order.iter().filter_map(|u| units.iter().position(|v| v == u)).map(|p| p as i64).collect();
        seen.push(
            x.view([-1, merge * merge, d])
                .index_select(0, &Tensor::from_slice(&place).to_device(x.device()))
                .view([-1, d]),
        );
    });
    for (i, x) in seen.iter().enumerate() {
        let name = if i == 0 { "vision.patch_embed".to_owned() } else { format!("vision.block{}", i - 1) };
        rows.close(&name, x, &get(&name)?, 1e-5, 1e-5);
    }
    rows.close("vision.out", &out, &get("vision.out")?, 1e-5, 1e-5);

    let (ids, position_ids) = (get("text.input_ids")?, get("text.position_ids")?);
    let rope = model.rope(&position_ids);
    let whole = Tensor::cat(&[&rope.cos, &rope.cos], -1).squeeze_dim(2);
    rows.close("text.rope_cos", &whole, &combined(&get("text.rope_cos")?, model), 1e-6, 1e-6);
    let whole = Tensor::cat(&[&rope.sin, &rope.sin], -1).squeeze_dim(2);
    rows.close("text.rope_sin", &whole, &combined(&get("text.rope_sin")?, model), 1e-6, 1e-6);
    let batch = Batch {
        attention_mask: ids.ones_like(),
        labels: ids.full_like(-100),
        input_ids: ids,
        position_ids,
        pixel_values: Some(take(pixels, "img0.pixel_values_fast")?),
        image_grid_thw: grid,
        image_uses: vec![0],
        image_teaches: Vec::new(),
        pixel_values_videos: None,
        video_grid_thw: Vec::new(),
        video_teaches: Vec::new(),
        rope_deltas: vec![0],
        mask: None,
        left_padded: false,
        tokens: 0,
    };
    let start = model.embed(&batch)?;
    let (mut x, mask) = (start.x_btd, model.mask(&batch, None));
    rows.close("text.hidden0", &x.squeeze_dim(0), &get("text.hidden0")?, 1e-5, 1e-5);
    // The decoder starts from the golden embedding: the golden patch embedding is itself 5e-6 off the exact product (a Conv3d
    // in f32), which would use up half of the tolerance.
    x = get("text.hidden0")?.unsqueeze(0).to_device(x.device());
    for (i, block) in model.blocks.iter().enumerate() {
        x = block.forward(&x, &rope, &mask, None);
        let shown = if i + 1 == model.blocks.len() { model.norm.forward(&x) } else { x.shallow_clone() };
        let name = format!("text.hidden{}", i + 1);
        rows.close(&name, &shown.squeeze_dim(0), &get(&name)?, 1e-5, 1e-5);
    }
    Ok(())
}

/// Picks each channel's axis out of a golden table `[3, t, k]`.
fn combined(table: &Tensor, model: &QwenVl) -> Tensor {
    let mut start = 0;
    let mut parts = Vec::new();
    for (j, len) in model.config.text.sections.iter().chain(&model.config.text.sections).enumerate() {
        parts.push(table.get(j as i64 % 3).narrow(-1, start, *len));
        start += len;
    }
    Tensor::cat(&parts, -1).unsqueeze(0)
}

fn logits(rows: &mut Rows, model: &QwenVl, batch: &Batch, golden: &Tensors, k: usize) -> Result<(), OpError> {
    let get = |name: &str| take(golden, &format!("mb{k}.{name}"));
    let hidden = model.forward_hidden(batch)?;
    let at = get("label_positions")?;
    let ours = model.logits(&hidden.index(&[Some(at.select(1, 0)), Some(at.select(1, 1))]));
    rows.close(&format!("mb{k}.logits_at_labels"), &ours, &get("logits_at_labels")?, 2e-5, 0.0);
    rows.close(&format!("mb{k}.logits_last"), &last_logits(model, &hidden, batch), &get("logits_last")?, 2e-5, 0.0);
    let (loss, labels) = mean_loss(model, &hidden, batch);
    rows.number(&format!("mb{k}.loss"), loss.double_value(&[]), get("loss")?.double_value(&[]), 1e-5, 0.0);
    rows.equal(&format!("mb{k}.num_label_tokens"), &labels, &get("num_label_tokens")?.int64_value(&[]));
    Ok(())
}

fn last_logits(model: &QwenVl, hidden: &Tensor, batch: &Batch) -> Tensor {
    let last = batch.attention_mask.sum_dim_intlist([1i64].as_slice(), false, Kind::Int64) - 1;
    let rows = Tensor::arange(last.size()[0], (Kind::Int64, Device::Cpu));
    model.logits(&hidden.index(&[Some(rows), Some(last)]))
}

/// Returns the mean cross-entropy over the labelled tokens, in nats, and their number.
fn mean_loss(model: &QwenVl, hidden: &Tensor, batch: &Batch) -> (Tensor, i64) {
    let t = hidden.size()[1];
    let labels = batch.labels.narrow(1, 1, t - 1).reshape([-1]).to_device(hidden.device());
    let rows = labels.not_equal(-100).nonzero().view([-1]);
    let picked = hidden.narrow(1, 0, t - 1).reshape([-1, hidden.size()[2]]).index_select(0, &rows);
    let scores = model.logits(&picked).to_kind(Kind::Float);
    let none: Option<&Tensor> = None;
    let loss = scores.cross_entropy_loss(&labels.index_select(0, &rows), none, Reduction::Mean, -100, 0.0);
    (loss, rows.size()[0])
}

fn reward(rows: &mut Rows, dir: &Path, model: &QwenVl, batch: &Batch) -> Result<(), OpError> {
    let golden = weights::read(&dir.join("reward.safetensors"))?;
    let head = RewardHead::load(dir, model.params.device())?;
    let hidden = model.forward_hidden(batch)?;
    let mask = batch.attention_mask.to_device(hidden.device());
    let real = mask.not_equal(0).to_kind(Kind::Float);
    let values = take(&golden, "mb0.values")?.to_device(hidden.device());
    rows.close("reward.values", &(head.values(&hidden) * &real), &(values * &real), 1e-5, 1e-5);
    rows.close("reward.scores", &head.scores(&hidden, &mask), &take(&golden, "mb0.scores")?, 1e-5, 1e-5);
    Ok(())
}

fn tied(rows: &mut Rows, dir: &Path, batch: &Batch, device: Device) -> Result<(), OpError> {
    let golden = weights::read(&dir.join("tied.safetensors"))?;
    let model = QwenVl::load(&dir.join("model_tied"), device, Kind::Float)?;
    let hidden = model.forward_hidden(batch)?;
    rows.close(
        "tied.logits_last",
        &last_logits(&model, &hidden, batch),
        &take(&golden, "mb0.logits_last")?,
        1e-5,
        1e-5,
    );
    let loss = mean_loss(&model, &hidden, batch).0.double_value(&[]);
    rows.number("tied.loss", loss, take(&golden, "mb0.loss")?.double_value(&[]), 1e-5, 0.0);
    Ok(())
}

fn round_trip(rows: &mut Rows, dir: &Path, model: &QwenVl) -> Result<(), OpError> {
    let folder = tempfile::tempdir()?;
    let source = dir.join("model");
    model.save(folder.path(), &source)?;
    let again = QwenVl::load(folder.path(), model.params.device(), Kind::Float)?;
    rows.close("save.weights", again.params.flat(), model.params.flat(), 0.0, 0.0);
    rows.equal(
        "save.tokenizer",
        &std::fs::read(folder.path().join("tokenizer.json"))?,
        &std::fs::read(source.join("tokenizer.json"))?,
    );
    Ok(())
}

fn gradients(rows: &mut Rows, dir: &Path, mut model: QwenVl, batches: [Batch; 2]) -> Result<(), OpError> {
    let golden = weights::read(&dir.join("grads.safetensors"))?;
    let norms = json(&dir.join("train.json"))?;
    model.params.set_trainable(|_| true)?;
    model.params.zero_grad();
    for batch in &batches {
        let hidden = model.forward_hidden(batch)?;
        (mean_loss(&model, &hidden, batch).0 / 2.0).backward();
    }
    for (name, tensor) in &golden {
        let ours = name.strip_prefix("grad.").and_then(|n| model.params.grad_of(n));
        let ours = ours.ok_or_else(|| OpError::new("E0503", format!("no weight for `{name}`")))?;
        rows.close(name, &ours, tensor, 1e-5, 1e-4);
    }
    let mut worst = (0.0, 0.0);
    for (name, norm) in norms["grad_norm_per_param"].as_object().into_iter().flatten() {
        let (Some(grad), Some(norm)) = (model.params.grad_of(name), norm.as_f64()) else {
            return Err(OpError::new("E0503", format!("no weight `{name}`")));
        };
        let ours = grad.norm().double_value(&[]);
        if (ours - norm).abs() - 1e-4 * norm.abs() > worst.0 - 1e-4 * f64::abs(worst.1) {
            worst = (ours, norm);
        }
    }
    let total = model.params.grad().map_or(0.0, |g| g.norm().double_value(&[]));
    rows.number("grad.norm_per_param (worst)", worst.0, worst.1, 1e-6, 1e-4);
    rows.number("grad.total_norm", total, norms["total_grad_norm"].as_f64().unwrap_or(0.0), 0.0, 1e-4);
    Ok(())
}
