//! The shape of a model, from its `config.json` and the headers of its weights: dimensions and exact numbers of weights, no tensor is read.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value as Json;

use crate::base::World;

/// A header longer than this is no header.
const LONGEST_HEADER: u64 = 100 << 20;

/// A stack of equal blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tower {
    /// Width of a token or patch.
    pub width: u64,
    /// Width inside the MLP.
    pub inner: u64,
    /// How many blocks.
    pub blocks: u64,
    /// Query heads.
    pub heads: u64,
    /// Width of all key heads together.
    pub keys: u64,
}

/// What memory depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// The text decoder.
    pub text: Tower,
    /// The vision tower; none for a model of text alone.
    pub vision: Option<Vision>,
    /// Rows of the embedding.
    pub vocab: u64,
    /// How many weights each part has, by the names that `freeze` takes.
    pub weights: BTreeMap<&'static str, u64>,
    /// The most weights that one matrix has.
    pub largest: u64,
    /// Rows and columns of all matrices, and one row and its columns for each vector: what Adafactor keeps a mean of.
    pub lines: u64,
    /// The weights were counted in the headers of the files; else by the configuration.
    pub counted: bool,
}

/// What memory depends on in a vision tower.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Vision {
    /// Its blocks.
    pub tower: Tower,
    /// How many of them attend over whole frames.
    pub full: u64,
    /// Values of one flattened patch.
    pub patch: u64,
    /// Its side in pixels.
    pub side: u64,
    /// Patches in one token of text.
    pub merged: u64,
    /// Patches in one attention window.
    pub window: u64,
}

impl Shape {
    /// Reads a model folder; nothing if it is not there or no model that is known here.
    pub fn read(world: &dyn World, folder: &Path) -> Option<Self> {
        let config: Json = serde_json::from_str(&world.read(&folder.join("config.json")).ok()?).ok()?;
        let counted = headers(world, folder);
        Self::of(&config, counted.as_ref())
    }

    /// Puts a parsed configuration together with the shapes of the weights, where these are known.
    pub fn of(config: &Json, weights: Option<&Weights>) -> Option<Self> {
        let Frame { tower, vision, vocab, tied } = Frame::of(config)?;
        let counted = weights.is_some();
        let weights = weights.cloned().or_else(|| by_config(config))?;
        let mut parts: BTreeMap<&'static str, u64> = BTreeMap::new();
        let mut lines = 0;
        for (name, shape) in weights.iter().filter(|(name, _)| !(tied && name.as_str() == "lm_head.weight")) {
            *parts.entry(part_of(name)).or_default() += shape.iter().product::<u64>();
            lines += lines_of(shape);
        }
        let largest = weights.values().map(|shape| shape.iter().product()).max().unwrap_or(0);
        Some(Self { text: tower, vision, vocab, weights: parts, largest, lines, counted })
    }

    /// Returns how many weights it has.
    pub fn all(&self) -> u64 {
        self.weights.values().sum()
    }
}

/// Returns the rows and columns of the last two axes, as many times as the axes before them say; a vector is one row.
fn lines_of(shape: &[u64]) -> u64 {
    match shape {
        [before @ .., rows, columns] => before.iter().product::<u64>() * (rows + columns),
        [columns] => 1 + columns,
        [] => 2,
    }
}

/// Returns the longest position that a model was made for, as its configuration says.
pub fn positions(config: &Json) -> Option<u64> {
    config.get("text_config").unwrap_or(config).get("max_position_embeddings").and_then(Json::as_u64)
}

/// Names and shapes of all weights.
pub type Weights = BTreeMap<String, Vec<u64>>;

/// Returns the part of the model that a weight belongs to, as `freeze` names it.
pub fn part_of(name: &str) -> &'static str {
    match name {
        n if n.starts_with("visual.merger.") => "projector",
        n if n.starts_with("visual.") => "vision",
        n if n.starts_with("model.embed_tokens.") || n.starts_with("lm_head.") => "embeddings",
        _ => "language",
    }
}

/// What a configuration says of both towers.
struct Frame {
    tower: Tower,
    vision: Option<Vision>,
    vocab: u64,
    tied: bool,
}

impl Frame {
    fn of(config: &Json) -> Option<Self> {
        let text = config.get("text_config").unwrap_or(config);
        let number = |of: &Json, key: &str| of.get(key).and_then(Json::as_u64);
        let heads = number(text, "num_attention_heads").filter(|h| *h > 0)?;
        let width = number(text, "hidden_size")?;
        let head = number(text, "head_dim").unwrap_or(width / heads);
        let tower = Tower {
            width,
            inner: number(text, "intermediate_size")?,
            blocks: number(text, "num_hidden_layers")?,
            heads,
            keys: number(text, "num_key_value_heads").unwrap_or(heads) * head,
        };
        let vocab = number(text, "vocab_size").or_else(|| number(config, "vocab_size"))?;
        let tied = [config, text].iter().find_map(|c| c.get("tie_word_embeddings")?.as_bool()).unwrap_or(false);
        let vision = match config.get("vision_config") {
            Some(vision) => Some(vision_of(vision)?),
            None => None,
        };
        Some(Self { tower, vision, vocab, tied })
    }
}

fn vision_of(config: &Json) -> Option<Vision> {
    let number = |key: &str| config.get(key).and_then(Json::as_u64);
    let width = number("hidden_size").or_else(|| number("embed_dim"))?;
    let (patch, merge) = (number("patch_size")?, number("spatial_merge_size").unwrap_or(2).max(1));
    let channels = number("in_chans").or_else(|| number("in_channels")).unwrap_or(3);
    let blocks = number("depth")?;
    let full = config.get("fullatt_block_indexes").and_then(Json::as_array).map(|b| b.len() as u64);
    let window = number("window_size").map(|w| (w / patch.max(1)).pow(2));
    let inner = number("intermediate_size").or_else(|| Some(config.get("mlp_ratio")?.as_u64()? * width))?;
    let tower = Tower { width, inner, blocks, heads: number("num_heads")?, keys: width };
    let side = patch;
    let patch = channels * number("temporal_patch_size").unwrap_or(2) * patch * patch;
    let whole = window.is_none();
    let full = if whole { blocks } else { full.unwrap_or(0) };
    Some(Vision { tower, full, patch, side, merged: merge * merge, window: window.unwrap_or(u64::MAX) })
}

/// Returns names and shapes of the weights of a Qwen2.5-VL, or of a Llama or Qwen2 decoder, by its configuration alone.
///
/// # Source
/// The weights of `Qwen/Qwen2.5-VL-7B-Instruct`: 8,292,166,656.
pub fn by_config(config: &Json) -> Option<Weights> {
    let Frame { tower: t, vision, vocab, tied } = Frame::of(config)?;
    let mut out = Weights::new();
    let biased = match config.get("model_type").and_then(Json::as_str)? {
        "qwen2_5_vl" => {
            add_vision(&vision?, t.width, &mut out);
            true
        }
        "qwen2" => true,
        "llama" => false,
        _ => return None,
    };
    let mut add = |name: String, shape: &[u64]| {
        out.insert(name, shape.to_vec());
    };
    let d = t.width;
    add("model.embed_tokens.weight".into(), &[vocab, d]);
    for b in 0..t.blocks {
        let p = format!("model.layers.{b}");
        for (name, rows) in [("q_proj", d), ("k_proj", t.keys), ("v_proj", t.keys)] {
            add(format!("{p}.self_attn.{name}.weight"), &[rows, d]);
            if biased {
                add(format!("{p}.self_attn.{name}.bias"), &[rows]);
            }
        }
        add(format!("{p}.self_attn.o_proj.weight"), &[d, d]);
        add(format!("{p}.mlp.gate_proj.weight"), &[t.inner, d]);
        add(format!("{p}.mlp.up_proj.weight"), &[t.inner, d]);
        add(format!("{p}.mlp.down_proj.weight"), &[d, t.inner]);
        add(format!("{p}.input_layernorm.weight"), &[d]);
        add(format!("{p}.post_attention_layernorm.weight"), &[d]);
    }
    add("model.norm.weight".into(), &[d]);
    if !tied {
        add("lm_head.weight".into(), &[vocab, d]);
    }
    Some(out)
}

fn add_vision(vision: &Vision, text: u64, out: &mut Weights) {
    let mut add = |name: String, shape: &[u64]| {
        out.insert(name, shape.to_vec());
    };
    let Vision { tower: v, patch, side, merged, .. } = vision;
    let (d, i, wide) = (v.width, v.inner, v.width * merged);
    let area = (side * side).max(1);
    add("visual.patch_embed.proj.weight".into(), &[d, patch / area, *side, *side]);
    for b in 0..v.blocks {
        let p = format!("visual.blocks.{b}");
        for (name, rows, columns) in [("attn.qkv", 3 * d, d), ("attn.proj", d, d), ("mlp.down_proj", d, i)] {
            add(format!("{p}.{name}.weight"), &[rows, columns]);
            add(format!("{p}.{name}.bias"), &[rows]);
        }
        for name in ["mlp.gate_proj", "mlp.up_proj"] {
            add(format!("{p}.{name}.weight"), &[i, d]);
            add(format!("{p}.{name}.bias"), &[i]);
        }
        add(format!("{p}.norm1.weight"), &[d]);
        add(format!("{p}.norm2.weight"), &[d]);
    }
    add("visual.merger.ln_q.weight".into(), &[d]);
    for (name, rows) in [("visual.merger.mlp.0", wide), ("visual.merger.mlp.2", text)] {
        add(format!("{name}.weight"), &[rows, wide]);
        add(format!("{name}.bias"), &[rows]);
    }
}

/// Reads names and shapes from the headers of the safetensors files of a folder; nothing unless all of them can be read.
fn headers(world: &dyn World, folder: &Path) -> Option<Weights> {
    let index = world.read(&folder.join("model.safetensors.index.json")).ok();
    let files: BTreeSet<String> = match index {
        Some(text) => {
            let index: Json = serde_json::from_str(&text).ok()?;
            index.get("weight_map")?.as_object()?.values().filter_map(|f| f.as_str().map(str::to_owned)).collect()
        }
        None => BTreeSet::from(["model.safetensors".to_owned()]),
    };
    let mut out = Weights::new();
    for file in files {
        out.extend(header(world, &folder.join(file))?);
    }
    out.retain(|name, _| !name.ends_with("rotary_emb.inv_freq"));
    (!out.is_empty()).then_some(out)
}

fn header(world: &dyn World, path: &Path) -> Option<Weights> {
    let len = u64::from_le_bytes(world.bytes(path, 0, 8).ok()?.try_into().ok()?);
    if len > LONGEST_HEADER {
        return None;
    }
    let header: BTreeMap<String, Json> = serde_json::from_slice(&world.bytes(path, 8, len).ok()?).ok()?;
    let shape = |tensor: &Json| tensor.get("shape")?.as_array()?.iter().map(Json::as_u64).collect::<Option<Vec<u64>>>();
    header
        .iter()
        .filter(|(name, _)| name.as_str() != "__metadata__")
        .map(|(name, tensor)| Some((hub_name(name).into_owned(), shape(tensor)?)))
        .collect()
}

/// Returns the name that the hub uses for a weight: newer savers put the towers under `model.`, and TRL all of it under
/// `pretrained_model.`.
pub fn hub_name(name: &str) -> Cow<'_, str> {
    let name = name.strip_prefix("pretrained_model.").unwrap_or(name);
    if let Some(rest) = name.strip_prefix("model.language_model.") {
        return format!("model.{rest}").into();
    }
    name.strip_prefix("model.visual.").map_or(name.into(), |rest| format!("visual.{rest}").into())
}
