//! How much arithmetic a training needs, and how much of its GPU's it uses.

use tch::{Device, Kind};

use crate::model::{Batch, Config};

/// Returns the floating-point operations of a forward and backward over a batch with `labels` labelled tokens: the products of layers and of attention,
/// without what is computed again. Tokens of packed rows count as if they all saw each other.
///
/// # Source
/// Six operations a weight and token, and twelve a channel and pair of tokens that see each other, of which a causal mask leaves half: Chowdhery et al.
/// 2022, appendix B. The output layer is counted where a loss is taken.
pub fn of_batch(config: &Config, batch: &Batch, labels: usize) -> f64 {
    let text = &config.text;
    let (d, kv) = (text.hidden, text.kv_heads * text.head_width());
    let block = 2 * d * d + 2 * d * kv + 3 * d * text.intermediate;
    let lengths = batch.attention_mask.sum_dim_intlist([1_i64].as_slice(), false, Kind::Int64);
    let lengths = Vec::<i64>::try_from(lengths.to_device(Device::Cpu)).unwrap_or_default();
    let pairs: f64 = lengths.iter().map(|&len| (len as f64).powi(2)).sum();
    let layers = text.layers as f64;
    let decoder = layers * (6.0 * block as f64 * batch.tokens as f64 + 6.0 * d as f64 * pairs);
    decoder + 6.0 * (text.vocab * d) as f64 * labels as f64 + seen(config, batch)
}

/// The part of the vision tower.
fn seen(config: &Config, batch: &Batch) -> f64 {
    let Some(vision) = &config.vision else { return 0.0 };
    let (d, merge) = (vision.hidden, vision.merge * vision.merge);
    let block = 4 * d * d + 3 * d * vision.intermediate;
    let merger = merge * d * (merge * d + vision.out);
    let window = (vision.window_units().pow(2) * merge) as f64;
    let whole = vision.full_blocks.len() as f64;
    let grids = batch.image_grid_thw.iter().chain(&batch.video_grid_thw);
    let of_grid = |&[t, h, w]: &[i64; 3]| {
        let (patches, frame) = ((t * h * w) as f64, (h * w) as f64);
        let weights = vision.depth as f64 * block as f64 + (d * vision.patch_values()) as f64;
        let attended = whole * frame + (vision.depth as f64 - whole) * window.min(frame);
        6.0 * patches * (weights + merger as f64 / merge as f64) + 12.0 * d as f64 * patches * attended
    };
    grids.map(of_grid).sum()
}

/// Operations a second of dense bf16 products, as the makers state them.
const GPUS: [(&str, f64); 8] = [
    ("B200", 2.25e15),
    ("GH200", 9.89e14),
    ("H200", 9.89e14),
    ("H100", 9.89e14),
    ("A100", 3.12e14),
    ("L40S", 3.62e14),
    ("L4", 1.21e14),
    ("A10", 1.25e14),
];

/// Returns what the GPU of a training in bf16 can do at most in a second; nothing for other types, processors and GPUs that are not known.
pub fn peak(device: Device, kind: Kind) -> Option<f64> {
    if !device.is_cuda() || kind != Kind::BFloat16 {
        return None;
    }
    let folder = std::fs::read_dir("/proc/driver/nvidia/gpus").ok()?.flatten().next()?;
    named(&std::fs::read_to_string(folder.path().join("information")).ok()?)
}

/// Returns the same of a GPU as the driver describes it.
pub fn named(information: &str) -> Option<f64> {
    let model = information.lines().find_map(|line| line.strip_prefix("Model:"))?;
    let words: Vec<&str> = model.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    GPUS.iter().find(|(name, _)| words.contains(name)).map(|(_, peak)| *peak)
}
