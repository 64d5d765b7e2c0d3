//! Encoders of texts and pictures into one space: CLIP and SigLIP.
//!
//! Shapes: `b` texts or pictures, `t` positions, `d` width, `h` heads, `e` width of the shared space, `p` pixels of a side.

use std::path::Path;

use serde_json::Value as Json;
use tch::{Device, Kind, Tensor, no_grad};

use super::attention::{Mask, attend};
use super::encoder::{Pair, Weights, dense, json};
use super::pixels::Pixels;
use super::tokenizer::Tokenizer;
use super::{Picture, guard};
use crate::base::OpError;

/// Texts or pictures that pass through the model together.
pub const BATCH: usize = 16;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Clip,
    Siglip,
}

/// An encoder of texts and pictures.
pub struct DualEncoder {
    family: Family,
    tokenizer: Tokenizer,
    pixels: Pixels,
    text: Text,
    vision: Vision,
    scale: f64,
    bias: f64,
    /// Width of the shared space.
    pub width: i64,
}

impl DualEncoder {
    /// Loads a folder in Hugging Face layout.
    ///
    /// # Errors
    /// `E0501` when a file is absent; `E0503` when the model is of another family, or weights are unknown or missing.
    pub fn load(dir: &Path) -> Result<Self, OpError> {
        let config = json(&dir.join("config.json"))?;
        let family = match config["model_type"].as_str().unwrap_or("") {
            "clip" => Family::Clip,
            "siglip" => Family::Siglip,
            other => {
                return Err(OpError::new("E0503", format!("config.json: model_type is `{other}`, not clip or siglip"))
                    .help("give a model such as `openai/clip-vit-base-patch32` or `google/siglip-base-patch16-224`"));
            }
        };
        let mut weights = Weights::read(dir)?;
        let text = Text::take(family, &config["text_config"], &mut weights)?;
        let vision = Vision::take(family, &config["vision_config"], &mut weights)?;
        let number = |weights: &mut Weights, name| weights.take(name).map(|t| t.view(-1).double_value(&[0]));
        let scale = number(&mut weights, "logit_scale")?.exp();
        let bias = if family == Family::Siglip { number(&mut weights, "logit_bias")? } else { 0.0 };
        weights.finish(dir, &["text_model.embeddings.position_ids", "vision_model.embeddings.position_ids"])?;
        let pixels = Pixels::load(dir, family == Family::Siglip)?;
        let (side, grid) = (vision.patch, vision.positions());
        if pixels.height as i64 / side * (pixels.width as i64 / side) != grid {
            let (width, height) = (pixels.width, pixels.height);
            let message = format!(
                "preprocessor_config.json makes {width} x {height} pixels, the model has {grid} patches of {side}"
            );
            return Err(OpError::new("E0503", message).help("both files must be of the same model"));
        }
        let width = text.project.0.size()[0];
        Ok(Self { family, tokenizer: Tokenizer::load(dir)?, pixels, text, vision, scale, bias, width })
    }

    /// Returns the ids of a text, cut to the longest length, and filled up to it where the model was trained so.
    ///
    /// # Errors
    /// `E0612` when the tokenizer refuses the text.
    fn ids(&self, text: &str) -> Result<Vec<i64>, OpError> {
        let longest = self.text.position.size()[0] as usize;
        let mut ids = self.tokenizer.framed(text, longest)?;
        if self.family == Family::Siglip {
            ids.resize(longest, self.tokenizer.pad_id);
        }
        Ok(ids)
    }

    /// Returns a vector of length 1 for each text. What does not fit into the model's positions is cut.
    ///
    /// # Shapes
    /// `[texts, e]` f32.
    ///
    /// # Errors
    /// `E0612` when the tokenizer refuses a text.
    ///
    /// # Source
    /// `get_text_features` of `CLIPModel` and `SiglipModel`, transformers 4.57.6; `tests/it/tensor/clip.rs`.
    pub fn texts(&self, texts: &[String]) -> Result<Tensor, OpError> {
        let mut out = Vec::new();
        for some in texts.chunks(BATCH) {
            let ids = some.iter().map(|text| self.ids(text)).collect::<Result<Vec<_>, _>>()?;
            out.push(guard("encoding texts", || no_grad(|| unit(&self.text.vectors(self.family, &ids))))?);
        }
        Ok(joined(&out, self.width))
    }

    /// Returns a vector of length 1 for each picture.
    ///
    /// # Shapes
    /// `[pictures, e]` f32.
    ///
    /// # Errors
    /// `E0612` when libtorch fails.
    ///
    /// # Source
    /// `get_image_features` of `CLIPModel` and `SiglipModel`, transformers 4.57.6; `tests/it/tensor/clip.rs`.
    pub fn pictures(&self, pictures: &[Picture]) -> Result<Tensor, OpError> {
        let mut out = Vec::new();
        for some in pictures.chunks(BATCH) {
            let pixels: Vec<Tensor> = some.iter().map(|p| self.pixels.of(p)).collect();
            let vectors = || no_grad(|| unit(&self.vision.vectors(&Tensor::stack(&pixels, 0))));
            out.push(guard("encoding pictures", vectors)?);
        }
        Ok(joined(&out, self.width))
    }

    /// Returns what the model was trained to raise for a text and its picture: `scale · cosine + bias`.
    pub fn logit(&self, cosine: f64) -> f64 {
        self.scale * cosine + self.bias
    }

    /// Returns how well a text and a picture fit by their cosine, from 0 to 1. SigLIP: the probability that it was trained to tell, `σ(scale · cos +
    /// bias)`. CLIP, which was only trained to rank: CLIPScore, `2.5 · max(cos, 0)`, at most 1.
    ///
    /// # Source
    /// Zhai et al. 2023, Sigmoid Loss for Language Image Pre-Training; Hessel et al. 2021, CLIPScore, section 3.
    pub fn fit(&self, cosine: f64) -> f64 {
        match self.family {
            Family::Siglip => 1.0 / (1.0 + (-self.logit(cosine)).exp()),
            Family::Clip => (2.5 * cosine).clamp(0.0, 1.0),
        }
    }
}

fn joined(parts: &[Tensor], width: i64) -> Tensor {
    if parts.is_empty() { Tensor::zeros([0, width], (Kind::Float, Device::Cpu)) } else { Tensor::cat(parts, 0) }
}

/// Scales vectors to length 1.
fn unit(x: &Tensor) -> Tensor {
    x / x.square().sum_dim_intlist([-1i64].as_slice(), true, Kind::Float).sqrt().clamp_min(1e-12)
}

/// What a layer's inner half is passed through.
#[derive(Clone, Copy)]
enum Act {
    Gelu,
    GeluTanh,
    QuickGelu,
}

impl Act {
    fn of(&self, x: &Tensor) -> Tensor {
        match self {
            Self::Gelu => x.gelu("none"),
            Self::GeluTanh => x.gelu("tanh"),
            Self::QuickGelu => x * (x * 1.702).sigmoid(),
        }
    }
}

/// Layers that normalise before each half.
struct Layers {
    layers: Vec<Layer>,
    shared: Shared,
}

/// What all layers of a tower share.
#[derive(Clone, Copy)]
struct Shared {
    heads: i64,
    eps: f64,
    act: Act,
}

struct Layer {
    first_norm: Pair,
    qkv: Pair,
    out: Pair,
    last_norm: Pair,
    inner: Pair,
    outer: Pair,
}

impl Shared {
    /// Reads what the weights do not tell; where the file is silent, the defaults of the family's base model hold.
    fn read(family: Family, config: &Json, heads: i64) -> Result<Self, OpError> {
        let clip = family == Family::Clip;
        let act = config["hidden_act"].as_str().unwrap_or(if clip { "quick_gelu" } else { "gelu_pytorch_tanh" });
        Ok(Self {
            heads: config["num_attention_heads"].as_i64().unwrap_or(heads),
            eps: config["layer_norm_eps"].as_f64().unwrap_or(if clip { 1e-5 } else { 1e-6 }),
            act: match act {
                "gelu" => Act::Gelu,
                "gelu_pytorch_tanh" => Act::GeluTanh,
                "quick_gelu" => Act::QuickGelu,
                other => return Err(OpError::new("E0503", format!("config.json: hidden_act `{other}` is unknown"))),
            },
        })
    }

    fn norm(&self, x: &Tensor, (weight, bias): &Pair) -> Tensor {
        x.layer_norm([weight.size()[0]], Some(weight), Some(bias), self.eps, false)
    }

    fn split(&self, x: &Tensor) -> Tensor {
        let (b, t, d) = x.size3().expect("three axes");
        x.view([b, t, self.heads, d / self.heads]).transpose(1, 2)
    }

    /// Attention of `[b, q, d]` to `[b, s, d]`, before the output layer.
    fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor, mask: &Mask) -> Tensor {
        let (b, t, d) = q.size3().expect("three axes");
        attend(&self.split(q), &self.split(k), &self.split(v), mask).transpose(1, 2).reshape([b, t, d])
    }
}

impl Layers {
    fn take(shared: Shared, weights: &mut Weights, tower: &str) -> Result<Self, OpError> {
        let mut layers = Vec::new();
        while weights.has(&format!("{tower}.encoder.layers.{}.layer_norm1.weight", layers.len())) {
            let at = format!("{tower}.encoder.layers.{}", layers.len());
            let [q, k, v] = ["q", "k", "v"].map(|n| weights.pair(&format!("{at}.self_attn.{n}_proj")));
            let (q, k, v) = (q?, k?, v?);
            layers.push(Layer {
                first_norm: weights.pair(&format!("{at}.layer_norm1"))?,
                qkv: (Tensor::cat(&[q.0, k.0, v.0], 0), Tensor::cat(&[q.1, k.1, v.1], 0)),
                out: weights.pair(&format!("{at}.self_attn.out_proj"))?,
                last_norm: weights.pair(&format!("{at}.layer_norm2"))?,
                inner: weights.pair(&format!("{at}.mlp.fc1"))?,
                outer: weights.pair(&format!("{at}.mlp.fc2"))?,
            });
        }
        if let Some(layer) = layers.first()
            && layer.out.0.size()[0] % shared.heads.max(1) != 0
        {
            let message = format!("config.json: {} heads do not divide {}", shared.heads, layer.out.0.size()[0]);
            return Err(OpError::new("E0503", message));
        }
        Ok(Self { layers, shared })
    }

    fn pass(&self, mut x_btd: Tensor, mask: &Mask) -> Tensor {
        for layer in &self.layers {
            let qkv = dense(&self.shared.norm(&x_btd, &layer.first_norm), &layer.qkv).chunk(3, -1);
            x_btd = &x_btd + dense(&self.shared.attend(&qkv[0], &qkv[1], &qkv[2], mask), &layer.out);
            let inner = self.shared.act.of(&dense(&self.shared.norm(&x_btd, &layer.last_norm), &layer.inner));
            x_btd = &x_btd + dense(&inner, &layer.outer);
        }
        x_btd
    }
}

/// The tower of texts.
struct Text {
    token: Tensor,
    position: Tensor,
    layers: Layers,
    norm: Pair,
    /// To the shared space; CLIP's has no bias.
    project: (Tensor, Option<Tensor>),
    end: i64,
}

impl Text {
    fn take(family: Family, config: &Json, weights: &mut Weights) -> Result<Self, OpError> {
        let clip = family == Family::Clip;
        let shared = Shared::read(family, config, if clip { 8 } else { 12 })?;
        Ok(Self {
            token: weights.take("text_model.embeddings.token_embedding.weight")?,
            position: weights.take("text_model.embeddings.position_embedding.weight")?,
            layers: Layers::take(shared, weights, "text_model")?,
            norm: weights.pair("text_model.final_layer_norm")?,
            project: if clip {
                (weights.take("text_projection.weight")?, None)
            } else {
                let (weight, bias) = weights.pair("text_model.head")?;
                (weight, Some(bias))
            },
            end: config["eos_token_id"].as_i64().unwrap_or(49_407),
        })
    }

    /// Returns `[b, e]`, not scaled.
    fn vectors(&self, family: Family, ids: &[Vec<i64>]) -> Tensor {
        let t = ids.iter().map(Vec::len).max().unwrap_or(0).max(1);
        // CLIP looks back only, so what fills a row after its end changes nothing.
        let flat: Vec<i64> =
            ids.iter().flat_map(|ids| ids.iter().copied().chain(std::iter::repeat(0)).take(t)).collect();
        let ids_bt = Tensor::from_slice(&flat).view([ids.len() as i64, t as i64]);
        let x = Tensor::embedding(&self.token, &ids_bt, -1, false, false) + self.position.narrow(0, 0, t as i64);
        let mask = if family == Family::Clip { Mask::Causal } else { Mask::Full };
        let x_btd = self.layers.shared.norm(&self.layers.pass(x, &mask), &self.norm);
        let last = |ids: &Vec<i64>| match family {
            Family::Siglip => t - 1,
            Family::Clip => self.closing(ids),
        };
        let rows: Vec<Tensor> = (0..).zip(ids).map(|(row, ids)| x_btd.get(row).get(last(ids) as i64)).collect();
        Tensor::stack(&rows, 0).linear(&self.project.0, self.project.1.as_ref())
    }

    /// Returns the place of the token that the vector of a text is read at.
    fn closing(&self, ids: &[i64]) -> usize {
        // Old files name 2, which is not what their texts end with: there it is the largest id.
        let end = if self.end == 2 { ids.iter().copied().max().unwrap_or(0) } else { self.end };
        ids.iter().position(|id| *id == end).unwrap_or(0)
    }
}

/// The tower of pictures.
struct Vision {
    class: Option<Tensor>,
    patches: (Tensor, Option<Tensor>),
    position: Tensor,
    patch: i64,
    first_norm: Option<Pair>,
    layers: Layers,
    last_norm: Pair,
    pool: Pool,
}

/// How a picture becomes one vector.
enum Pool {
    /// The first position, projected.
    Class(Tensor),
    /// A learned query looks at all positions.
    Probe { probe: Tensor, qkv: Pair, out: Pair, norm: Pair, inner: Pair, outer: Pair },
}

impl Vision {
    fn take(family: Family, config: &Json, weights: &mut Weights) -> Result<Self, OpError> {
        let clip = family == Family::Clip;
        let at = "vision_model.embeddings";
        let kernel = weights.take(&format!("{at}.patch_embedding.weight"))?;
        let patch = kernel.size()[3];
        let head = "vision_model.head";
        Ok(Self {
            class: if clip { Some(weights.take(&format!("{at}.class_embedding"))?) } else { None },
            patches: (kernel, if clip { None } else { Some(weights.take(&format!("{at}.patch_embedding.bias"))?) }),
            position: weights.take(&format!("{at}.position_embedding.weight"))?,
            patch,
            // The name is spelt so in the files.
            first_norm: if clip { Some(weights.pair("vision_model.pre_layrnorm")?) } else { None },
            layers: Layers::take(Shared::read(family, config, 12)?, weights, "vision_model")?,
            last_norm: weights.pair("vision_model.post_layernorm")?,
            pool: if clip {
                Pool::Class(weights.take("visual_projection.weight")?)
            } else {
                Pool::Probe {
                    probe: weights.take(&format!("{head}.probe"))?,
                    qkv: (
                        weights.take(&format!("{head}.attention.in_proj_weight"))?,
                        weights.take(&format!("{head}.attention.in_proj_bias"))?,
                    ),
                    out: weights.pair(&format!("{head}.attention.out_proj"))?,
                    norm: weights.pair(&format!("{head}.layernorm"))?,
                    inner: weights.pair(&format!("{head}.mlp.fc1"))?,
                    outer: weights.pair(&format!("{head}.mlp.fc2"))?,
                }
            },
        })
    }

    /// Returns how many patches a picture has.
    fn positions(&self) -> i64 {
        self.position.size()[0] - i64::from(self.class.is_some())
    }

    /// Returns `[b, e]`, not scaled, for pixels `[b, 3, p, p]`.
    fn vectors(&self, pixels: &Tensor) -> Tensor {
        let (b, stride) = (pixels.size()[0], [self.patch; 2]);
        let patches = pixels.conv2d(&self.patches.0, self.patches.1.as_ref(), stride, [0, 0], [1, 1], 1);
        let mut x_btd = patches.flatten(2, 3).transpose(1, 2);
        if let Some(class) = &self.class {
            x_btd = Tensor::cat(&[class.expand([b, 1, class.size()[0]], false), x_btd], 1);
        }
        x_btd += &self.position;
        let shared = &self.layers.shared;
        if let Some(norm) = &self.first_norm {
            x_btd = shared.norm(&x_btd, norm);
        }
        let x_btd = self.layers.pass(x_btd, &Mask::Full);
        match &self.pool {
            Pool::Class(project) => shared.norm(&x_btd.select(1, 0), &self.last_norm).linear(project, None::<Tensor>),
            Pool::Probe { probe, qkv, out, norm, inner, outer } => {
                let x_btd = shared.norm(&x_btd, &self.last_norm);
                let d = x_btd.size()[2];
                let part = |x: &Tensor, i: i64| dense(x, &(qkv.0.narrow(0, i * d, d), qkv.1.narrow(0, i * d, d)));
                let q = part(&probe.expand([b, 1, d], false), 0);
                let seen = dense(&shared.attend(&q, &part(&x_btd, 1), &part(&x_btd, 2), &Mask::Full), out);
                let inner = shared.act.of(&dense(&shared.norm(&seen, norm), inner));
                (&seen + dense(&inner, outer)).select(1, 0)
            }
        }
    }
}
