//! Qwen2.5-VL: the vision tower merged into the text decoder; or such a decoder alone, as Qwen2 and Llama are.
//!
//! Shapes: `b` batch, `t` tokens, `d` model width, `v` vocabulary, `n` rows of hidden states.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use tch::{Device, Kind, Tensor};

use super::amplifier::{self, Amplifier, Strength};
use super::attention::{Mask, causal};
use super::block::Block;
use super::collate::Batch;
use super::config::{Config, VisionConfig};
use super::fused;
use super::linear::Linear;
use super::norm::RmsNorm;
use super::params::{Params, Schema};
use super::positions::BLIND;
use super::reward::{self, RewardHead};
use super::rope::Rope;
use super::vision::VisionTower;
use super::weights;
use super::windows::{Grid, units_of};
use crate::base::OpError;

/// A Qwen2.5-VL, or a decoder that reads text alone.
pub struct QwenVl {
    /// Its shape and special ids.
    pub config: Config,
    /// Its weights; the layers below share their memory.
    pub params: Params,
    /// The vision tower; none in a model that reads text alone.
    pub vision: Option<VisionTower>,
    /// `[v, d]`.
    pub embedding: Tensor,
    /// The decoder's blocks.
    pub blocks: Vec<Block>,
    /// After the last block.
    pub norm: RmsNorm,
    /// `[v, d]`; the embedding itself when tied.
    pub head: Tensor,
    /// Between the vision tower and the decoder, where the model has one.
    pub amplifier: Option<Amplifier>,
    /// Behind the final norm, where the model is on its way to a reward model.
    pub value_head: Option<RewardHead>,
}

/// What the decoder's blocks read.
pub struct Embedded {
    /// `[b, t, d]`: token embeddings with visual features in their places.
    pub x_btd: Tensor,
    /// `[b, t]`: what an amplifier adds to the attention scores of each token.
    pub bias_bt: Option<Tensor>,
}

impl QwenVl {
    /// Loads a folder in Hugging Face layout, with its amplifier if it has one.
    ///
    /// # Errors
    /// `E0501` when a file is absent, `E0503` when names or shapes do not fit `config.json`.
    pub fn load(dir: &Path, device: Device, kind: Kind) -> Result<Self, OpError> {
        Self::load_by(dir, |names| weights::load(dir, names, kind, device))
    }

    /// As [`Self::load`], on a processor, with those stretches of the flat buffer alone that `wanted` chooses; the model cannot compute before the
    /// others are bound.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_parts(
        dir: &Path,
        kind: Kind,
        wanted: impl FnOnce(&Params) -> Vec<Range<i64>>,
    ) -> Result<Self, OpError> {
        Self::load_by(dir, |names| weights::load_parts(dir, names, kind, wanted))
    }

    fn load_by(dir: &Path, load: impl FnOnce(&Schema) -> Result<Params, OpError>) -> Result<Self, OpError> {
        let config = Config::load(dir)?;
        let (strength, gate) = amplifier::find(dir, config.text.hidden)?.unzip();
        let names: Schema = schema(&config).into_iter().chain(gate.unwrap_or_default()).collect();
        Ok(Self::built(config, load(&names)?, strength))
    }

    /// Makes a model with fresh weights, as transformers initialises them: matrices with the deviation that the configuration names.
    pub fn random(config: Config, device: Device, kind: Kind, seed: i64) -> Self {
        let mut params = Params::zeros(&schema(&config), kind, device);
        params.randomize(config.deviation, seed);
        Self::new(config, params)
    }

    /// Builds the layers over weights that were laid out by [`schema`].
    pub fn new(config: Config, params: Params) -> Self {
        Self::built(config, params, None)
    }

    /// Returns the model with an amplifier of some strength: its own one, or a fresh one, which changes nothing yet.
    ///
    /// # Randomness
    /// The first layer of a fresh gate by `seed`.
    pub fn amplified(mut self, strength: Strength, seed: i64) -> Self {
        match &mut self.amplifier {
            Some(amplifier) => {
                amplifier.strength = strength;
                self
            }
            None => {
                let params = amplifier::attached(&self.params, self.config.text.hidden, seed);
                Self::built(self.config, params, Some(strength))
            }
        }
    }

    /// Returns the model with a fresh value head, as [`RewardHead::random`] makes it.
    pub fn valued(self, seed: i64) -> Self {
        let params = reward::attached(&self.params, self.config.text.hidden, seed);
        Self::built(self.config, params, self.amplifier.map(|a| a.strength))
    }

    fn built(config: Config, mut params: Params, strength: Option<Strength>) -> Self {
        let embedding = params.leaf(&["model.embed_tokens.weight".to_owned()]);
        let head = if config.tied { embedding.shallow_clone() } else { params.leaf(&["lm_head.weight".to_owned()]) };
        Self {
            vision: config.vision.as_ref().map(|vision| VisionTower::new(&mut params, vision)),
            blocks: (0..config.text.layers).map(|i| Block::new(&mut params, i, &config.text)).collect(),
            norm: RmsNorm::new(&mut params, "model.norm.weight", config.text.eps),
            embedding,
            head,
            amplifier: strength.map(|strength| Amplifier::new(&mut params, strength)),
            value_head: RewardHead::of(&mut params),
            params,
            config,
        }
    }

    /// Returns a model with a copy of the weights, nothing trainable.
    pub fn copy(&self) -> Self {
        Self::built(self.config.clone(), self.params.copy(), self.amplifier.as_ref().map(|a| a.strength))
    }

    /// Writes the weights under hub names, with the configuration, tokenizer and processor files of `source`; an amplifier and a value head go to
    /// files of their own, which other loaders do not read.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn save(&self, dir: &Path, source: &Path) -> Result<(), OpError> {
        weights::save(dir, &self.params, source)?;
        self.amplifier.as_ref().map_or(Ok(()), |a| amplifier::save(dir, &self.params, a.strength))?;
        self.value_head.as_ref().map_or(Ok(()), |head| head.save(dir))
    }

    /// Returns all linear layers, for adapters.
    pub fn linears_mut(&mut self) -> Vec<&mut Linear> {
        let mut out = Vec::new();
        if let Some(vision) = &mut self.vision {
            out.push(&mut vision.patch_embed);
            for block in &mut vision.blocks {
                out.extend([&mut block.qkv, &mut block.proj, &mut block.mlp.gate_up, &mut block.mlp.down]);
            }
            out.extend([&mut vision.merge_in, &mut vision.merge_out]);
        }
        for block in &mut self.blocks {
            out.extend([&mut block.qkv, &mut block.out, &mut block.mlp.gate_up, &mut block.mlp.down]);
        }
        out
    }

    /// Returns the token embeddings with the features of images and videos, amplified, in place of their placeholders.
    ///
    /// A gradient reaches the amplifier's gate from those pictures alone from which it is to learn.
    ///
    /// # Errors
    /// `E0612` when features and placeholders differ in number.
    pub fn embed(&self, batch: &Batch) -> Result<Embedded, OpError> {
        let device = self.embedding.device();
        let ids = batch.input_ids.to_device(device);
        let x_btd = Tensor::embedding(&self.embedding, &ids, -1, false, false);
        let Some((pixels, grids)) = batch.pictures() else {
            return Ok(Embedded { x_btd, bias_bt: None });
        };
        let items = self.features(&pixels, &grids)?;
        self.place(batch, x_btd, &items[..batch.image_grid_thw.len()], &items[batch.image_grid_thw.len()..])
    }

    /// As [`Self::embed`], with the features of the batch's different pictures there already, not yet amplified.
    ///
    /// # Errors
    /// As [`Self::embed`].
    pub fn embed_with(&self, batch: &Batch, images: &[Tensor], videos: &[Tensor]) -> Result<Embedded, OpError> {
        let ids = batch.input_ids.to_device(self.embedding.device());
        self.place(batch, Tensor::embedding(&self.embedding, &ids, -1, false, false), images, videos)
    }

    /// Returns the features of each of several pictures or videos, before the amplifier.
    ///
    /// # Errors
    /// `E0612` when the model has no vision tower.
    pub fn features(&self, pixels: &Tensor, grids: &[Grid]) -> Result<Vec<Tensor>, OpError> {
        Ok(self.apart(&self.tower()?.forward(pixels, grids), grids))
    }

    /// Returns the vision tower.
    ///
    /// # Errors
    /// `E0612` when the model has none.
    pub fn tower(&self) -> Result<&VisionTower, OpError> {
        self.vision.as_ref().ok_or_else(|| OpError::new("E0612", BLIND))
    }

    /// Returns the features of each picture or video, given all of them one after the other.
    pub fn apart(&self, features_ud: &Tensor, grids: &[Grid]) -> Vec<Tensor> {
        let merge = self.config.vision.as_ref().map_or(1, |vision| vision.merge);
        let units: Vec<i64> = grids.iter().map(|&g| units_of(g, merge)).collect();
        features_ud.split_with_sizes(units.as_slice(), 0)
    }

    fn place(&self, batch: &Batch, x_btd: Tensor, images: &[Tensor], videos: &[Tensor]) -> Result<Embedded, OpError> {
        let device = self.embedding.device();
        let ids = batch.input_ids.to_device(device);
        let items: Vec<&Tensor> = images.iter().chain(videos).collect();
        let gates = self.amplifier.as_ref().filter(|_| !items.is_empty()).map(|a| (a, gates_of(a, &items)));
        let shown = |item: usize, teaches: Option<&bool>| -> (Tensor, Option<Tensor>) {
            let Some((amplifier, gates)) = &gates else {
                return (items[item].shallow_clone(), None);
            };
            let gate = if teaches == Some(&true) { gates[item].shallow_clone() } else { gates[item].detach() };
            (amplifier.scaled(items[item], &gate), Some(gate))
        };
        let shown_images = batch.image_uses.iter().enumerate().map(|(k, &i)| shown(i, batch.image_teaches.get(k)));
        let shown_videos = (0..videos.len()).map(|k| shown(images.len() + k, batch.video_teaches.get(k)));
        let (shown_images, shown_videos): (Vec<_>, Vec<_>) = (shown_images.collect(), shown_videos.collect());
        let (b, t, d) = x_btd.size3().expect("three axes");
        let mut x = x_btd.view([b * t, d]);
        let attention = gates.as_ref().map_or(0.0, |(amplifier, _)| amplifier.strength.attention);
        let mut bias = (attention > 0.0).then(|| Tensor::zeros([b * t], (Kind::Float, device)));
        for (what, id, items) in
            [("image", self.config.image_id, shown_images), ("video", self.config.video_id, shown_videos)]
        {
            let rows = ids.view([b * t]).eq(id).nonzero().view([-1]);
            let (items, gates): (Vec<Tensor>, Vec<Option<Tensor>>) = items.into_iter().unzip();
            let wanted: i64 = items.iter().map(|f| f.size()[0]).sum();
            if rows.size()[0] != wanted {
                return Err(OpError::new(
                    "E0612",
                    format!("the batch has {} {what} tokens, but its {}s give {wanted} features", rows.size()[0], what),
                ));
            }
            if wanted > 0 {
                x = x.index_copy(0, &rows, &Tensor::cat(&items, 0));
                let gates: Vec<Tensor> = gates.into_iter().flatten().collect();
                bias = bias.map(|bias| bias.index_copy(0, &rows, &(Tensor::cat(&gates, 0) * attention)));
            }
        }
        let bias_bt = bias.map(|bias| bias.view([b, t]).to_kind(x.kind()));
        Ok(Embedded { x_btd: x.view([b, t, d]), bias_bt })
    }

    /// Returns the hidden states after the final norm.
    ///
    /// # Shapes
    /// Result: `[b, t, d]` of the weights' dtype.
    ///
    /// # Errors
    /// As [`Self::embed`].
    pub fn forward_hidden(&self, batch: &Batch) -> Result<Tensor, OpError> {
        let mut states = self.forward_after(batch, &[self.blocks.len()])?;
        Ok(states.remove(0))
    }

    /// Returns the hidden states after so many blocks, for each of `depths` (from 1), through the final norm.
    ///
    /// # Shapes
    /// Each `[b, t, d]` of the weights' dtype.
    ///
    /// # Errors
    /// As [`Self::embed`].
    pub fn forward_after(&self, batch: &Batch, depths: &[usize]) -> Result<Vec<Tensor>, OpError> {
        let Embedded { mut x_btd, bias_bt } = self.embed(batch)?;
        let (rope, mask) = (self.rope(&batch.position_ids), self.mask(batch, bias_bt.as_ref()));
        let mut states: BTreeMap<usize, Tensor> = BTreeMap::new();
        for (number, block) in self.blocks.iter().enumerate() {
            x_btd = block.forward(&x_btd, &rope, &mask, None);
            if depths.contains(&(number + 1)) {
                states.insert(number + 1, self.norm.forward(&x_btd));
            }
        }
        Ok(depths.iter().filter_map(|depth| states.get(depth).map(Tensor::shallow_clone)).collect())
    }

    /// Returns the scores of the next token.
    ///
    /// # Shapes
    /// `hidden_nd`: `[.., d]`, after the final norm; result `[.., v]` of the weights' dtype: cast to f32 before a softmax.
    pub fn logits(&self, hidden_nd: &Tensor) -> Tensor {
        fused::linear(hidden_nd, &self.head, None)
    }

    /// Returns the rotary table of position ids `[3, b, t]`.
    pub fn rope(&self, position_ids: &Tensor) -> Rope {
        Rope::multimodal(&self.config.text, &position_ids.to_device(self.embedding.device()), self.embedding.kind())
    }

    /// Returns the attention mask of a batch: its own, else causal, with keys hidden where rows are padded on the left; `bias_bt`
    /// is added to the scores of each key.
    pub fn mask(&self, batch: &Batch, bias_bt: Option<&Tensor>) -> Mask {
        let mask = self.plain_mask(batch);
        match bias_bt {
            Some(bias_bt) => mask.biased(bias_bt, bias_bt.size()[1]),
            None => mask,
        }
    }

    fn plain_mask(&self, batch: &Batch) -> Mask {
        let (device, kind) = (self.embedding.device(), self.embedding.kind());
        if let Some(allowed) = &batch.mask {
            return Mask::allowed(&allowed.to_device(device), kind);
        }
        if !batch.left_padded {
            return Mask::Causal; // padding on the right comes after every real query
        }
        let (b, t) = batch.attention_mask.size2().expect("two axes");
        let keys = batch.attention_mask.to_device(device).not_equal(0).view([b, 1, 1, t]);
        Mask::allowed(&keys.logical_and(&causal(t, t, device)), kind)
    }
}

/// Returns the gates of each of several pictures or videos, at least one.
fn gates_of(amplifier: &Amplifier, items: &[&Tensor]) -> Vec<Tensor> {
    let units: Vec<i64> = items.iter().map(|f| f.size()[0]).collect();
    amplifier.gates(&Tensor::cat(items, 0)).split_with_sizes(units.as_slice(), 0)
}

/// Returns the names and shapes of all weights; what is computed as one matrix lies side by side.
pub fn schema(config: &Config) -> Schema {
    let mut out = Schema::new();
    let mut add = |name: String, shape: &[i64]| out.push((name, shape.to_vec()));
    if let Some(vision) = &config.vision {
        add_vision(vision, &mut add);
    }
    let t = &config.text;
    let (d, kv) = (t.hidden, t.kv_heads * t.head_width());
    add("model.embed_tokens.weight".into(), &[t.vocab, d]);
    for b in 0..t.layers {
        let p = format!("model.layers.{b}");
        add(format!("{p}.input_layernorm.weight"), &[d]);
        add(format!("{p}.self_attn.q_proj.weight"), &[d, d]);
        add(format!("{p}.self_attn.k_proj.weight"), &[kv, d]);
        add(format!("{p}.self_attn.v_proj.weight"), &[kv, d]);
        if t.qkv_bias {
            add(format!("{p}.self_attn.q_proj.bias"), &[d]);
            add(format!("{p}.self_attn.k_proj.bias"), &[kv]);
            add(format!("{p}.self_attn.v_proj.bias"), &[kv]);
        }
        add(format!("{p}.self_attn.o_proj.weight"), &[d, d]);
        add(format!("{p}.post_attention_layernorm.weight"), &[d]);
        add(format!("{p}.mlp.gate_proj.weight"), &[t.intermediate, d]);
        add(format!("{p}.mlp.up_proj.weight"), &[t.intermediate, d]);
        add(format!("{p}.mlp.down_proj.weight"), &[d, t.intermediate]);
    }
    add("model.norm.weight".into(), &[d]);
    if !config.tied {
        add("lm_head.weight".into(), &[t.vocab, d]);
    }
    out
}

/// Names the weights of the vision tower.
fn add_vision(v: &VisionConfig, add: &mut impl FnMut(String, &[i64])) {
    let (d, i) = (v.hidden, v.intermediate);
    add("visual.patch_embed.proj.weight".into(), &[d, v.channels, v.temporal, v.patch, v.patch]);
    for b in 0..v.depth {
        let p = format!("visual.blocks.{b}");
        add(format!("{p}.norm1.weight"), &[d]);
        add(format!("{p}.norm2.weight"), &[d]);
        add(format!("{p}.attn.qkv.weight"), &[3 * d, d]);
        add(format!("{p}.attn.qkv.bias"), &[3 * d]);
        add(format!("{p}.attn.proj.weight"), &[d, d]);
        add(format!("{p}.attn.proj.bias"), &[d]);
        add(format!("{p}.mlp.gate_proj.weight"), &[i, d]);
        add(format!("{p}.mlp.up_proj.weight"), &[i, d]);
        add(format!("{p}.mlp.gate_proj.bias"), &[i]);
        add(format!("{p}.mlp.up_proj.bias"), &[i]);
        add(format!("{p}.mlp.down_proj.weight"), &[d, i]);
        add(format!("{p}.mlp.down_proj.bias"), &[d]);
    }
    let wide = d * v.merge * v.merge;
    add("visual.merger.ln_q.weight".into(), &[d]);
    add("visual.merger.mlp.0.weight".into(), &[wide, wide]);
    add("visual.merger.mlp.0.bias".into(), &[wide]);
    add("visual.merger.mlp.2.weight".into(), &[v.out, wide]);
    add("visual.merger.mlp.2.bias".into(), &[v.out]);
}
