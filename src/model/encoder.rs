//! Sentence encoders: BERT and XLM-RoBERTa with the pooling that their files name.
//!
//! Shapes: `b` sentences, `t` tokens, `d` width, `h` heads.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value as Json;
use tch::{Device, Kind, Tensor, no_grad};

use super::attention::{Mask, attend};
use super::tokenizer::Tokenizer;
use super::weights;
use crate::base::OpError;

/// Tokens of a batch, padding included; a longer sentence has one of its own. More would be hardly faster, and dearer for a few sentences: a batch is always full.
const BATCH_TOKENS: usize = 512;

/// How token vectors become one sentence vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Mean over real tokens.
    Mean,
    /// The first token.
    First,
}

/// A sentence encoder.
pub struct Encoder {
    tokenizer: Option<Tokenizer>,
    word: Tensor,
    position: Tensor,
    kind: Tensor,
    norm: (Tensor, Tensor),
    layers: Vec<Layer>,
    heads: i64,
    eps: f64,
    pad: i64,
    roberta: bool,
    /// How token vectors become one.
    pub pooling: Pooling,
    /// Whether vectors are scaled to length 1.
    pub normalize: bool,
    /// Most tokens of a sentence; the rest is cut.
    pub max_tokens: usize,
    /// Width of a vector.
    pub width: i64,
}

/// A dense layer's weight and bias, or a norm's.
pub(super) type Pair = (Tensor, Tensor);

struct Layer {
    qkv: Pair,
    out: Pair,
    out_norm: Pair,
    inner: Pair,
    outer: Pair,
    last_norm: Pair,
}

impl Encoder {
    /// Loads a folder in Hugging Face layout. Pooling and normalisation come from `modules.json` and the pooling module's
    /// `config.json`; without them the vector is the normalised mean.
    ///
    /// # Errors
    /// `E0501` when a file is absent; `E0503` when the model is of another family or weights are unknown or missing.
    pub fn load(dir: &Path) -> Result<Self, OpError> {
        let config = json(&dir.join("config.json"))?;
        let family = config["model_type"].as_str().unwrap_or("").to_owned();
        let roberta = matches!(family.as_str(), "xlm-roberta" | "roberta");
        if !roberta && family != "bert" {
            return Err(OpError::new(
                "E0503",
                format!("config.json: model_type is `{family}`, not bert, roberta or xlm-roberta"),
            ));
        }
        let int = |key: &str| {
            config[key].as_i64().ok_or_else(|| OpError::new("E0503", format!("config.json: `{key}` is missing")))
        };
        let mut store = Weights::read(dir)?;
        let layers = (0..int("num_hidden_layers")?).map(|i| store.layer(i)).collect::<Result<_, _>>()?;
        let positions = int("max_position_embeddings")?;
        let pad = config["pad_token_id"].as_i64().unwrap_or(0);
        let room = if roberta { positions - pad - 1 } else { positions };
        let sentence = json(&dir.join("sentence_bert_config.json")).unwrap_or(Json::Null);
        let max = sentence["max_seq_length"].as_i64().unwrap_or(room).min(room);
        let (pooling, normalize) = pooling(dir)?;
        let encoder = Self {
            tokenizer: if dir.join("tokenizer.json").exists() { Some(Tokenizer::load(dir)?) } else { None },
            word: store.take("embeddings.word_embeddings.weight")?,
            position: store.take("embeddings.position_embeddings.weight")?,
            kind: store.take("embeddings.token_type_embeddings.weight")?,
            norm: store.pair("embeddings.LayerNorm")?,
            layers,
            heads: int("num_attention_heads")?,
            eps: config["layer_norm_eps"].as_f64().unwrap_or(if roberta { 1e-5 } else { 1e-12 }),
            pad,
            roberta,
            pooling,
            normalize,
            max_tokens: usize::try_from(max).unwrap_or(0),
            width: int("hidden_size")?,
        };
        store.finish(dir, &["pooler.", "cls.", "lm_head.", "classifier.", "embeddings.position_ids"])?;
        Ok(encoder)
    }

    /// Returns the ids of a sentence, cut to the longest length.
    ///
    /// # Errors
    /// `E0501` when the folder has no tokenizer.
    pub fn ids(&self, text: &str) -> Result<Vec<i64>, OpError> {
        let tokenizer = self.tokenizer.as_ref();
        tokenizer
            .ok_or_else(|| OpError::new("E0501", "the encoder's folder has no tokenizer.json"))?
            .framed(text, self.max_tokens)
    }

    /// Returns one vector per sentence, the same to the last bit whatever the other sentences are: every batch of a length has the same shape, so
    /// each row goes through the same operations in the same order.
    ///
    /// # Errors
    /// As [`Self::ids`].
    pub fn embed(&self, sentences: &[String]) -> Result<Vec<Vec<f32>>, OpError> {
        let ids = sentences.iter().map(|s| self.ids(s)).collect::<Result<Vec<_>, _>>()?;
        let mut lengths: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (i, ids) in ids.iter().enumerate() {
            // No position lies beyond the last one that the model knows.
            let t = length(ids.len()).min(self.max_tokens.max(ids.len()));
            lengths.entry(t).or_default().push(i);
        }
        let mut out = vec![Vec::new(); ids.len()];
        for (t, members) in lengths {
            let n = (BATCH_TOKENS / t).max(1);
            for now in members.chunks(n) {
                let (mut flat, mut mask) = (vec![self.pad; n * t], vec![0i64; n * t]);
                // The last sentence fills the rows that are left.
                for (row, &i) in now.iter().chain(std::iter::repeat(&now[now.len() - 1])).take(n).enumerate() {
                    flat[row * t..row * t + ids[i].len()].copy_from_slice(&ids[i]);
                    mask[row * t..row * t + ids[i].len()].fill(1);
                }
                let shape = [n as i64, t as i64];
                let mask = Tensor::from_slice(&mask).view(shape);
                let hidden = self.masked(&Tensor::from_slice(&flat).view(shape), &mask, false);
                let vectors = self.pool(&hidden, &mask, self.pooling, self.normalize);
                for (row, &i) in now.iter().enumerate() {
                    out[i] = Vec::try_from(vectors.get(row as i64)).unwrap_or_default();
                }
            }
        }
        Ok(out)
    }

    /// Returns the last hidden states.
    ///
    /// # Shapes
    /// `ids`, `mask`: `[b, t]` i64; result `[b, t, d]` f32.
    ///
    /// # Source
    /// `BertModel` and `XLMRobertaModel` of transformers 4.57.6.
    pub fn hidden(&self, ids: &Tensor, mask: &Tensor) -> Tensor {
        self.masked(ids, mask, mask.min().int64_value(&[]) == 1)
    }

    /// As [`Self::hidden`]; `whole` takes the way for sentences without padding.
    fn masked(&self, ids: &Tensor, mask: &Tensor, whole: bool) -> Tensor {
        no_grad(|| {
            let (b, t) = ids.size2().expect("two axes");
            let positions = if self.roberta {
                mask.cumsum(1, Kind::Int64) * mask + self.pad
            } else {
                Tensor::arange(t, (Kind::Int64, Device::Cpu)).expand([b, t], false)
            };
            let look = |table: &Tensor, ids: &Tensor| Tensor::embedding(table, ids, -1, false, false);
            let x = look(&self.word, ids) + look(&self.position, &positions) + self.kind.get(0);
            let mut x_btd = self.layer_norm(&x, &self.norm);
            let mask = if whole {
                Mask::Full
            } else {
                Mask::allowed(&mask.not_equal(0).view([b, 1, 1, t]).expand([b, 1, t, t], false), Kind::Float)
            };
            for layer in &self.layers {
                x_btd = self.block(layer, &x_btd, &mask);
            }
            x_btd
        })
    }

    /// Pools hidden states `[b, t, d]` to `[b, d]`.
    pub fn pool(&self, hidden_btd: &Tensor, mask: &Tensor, pooling: Pooling, normalize: bool) -> Tensor {
        let pooled = match pooling {
            Pooling::First => hidden_btd.select(1, 0),
            Pooling::Mean => {
                let real = mask.to_kind(Kind::Float).unsqueeze(-1);
                let dims = [1i64];
                (hidden_btd * &real).sum_dim_intlist(dims.as_slice(), false, Kind::Float)
                    / real.sum_dim_intlist(dims.as_slice(), false, Kind::Float).clamp_min(1e-9)
            }
        };
        if !normalize {
            return pooled;
        }
        let length = pooled.square().sum_dim_intlist([-1i64].as_slice(), true, Kind::Float).sqrt().clamp_min(1e-12);
        pooled / length
    }

    fn block(&self, layer: &Layer, x_btd: &Tensor, mask: &Mask) -> Tensor {
        let (b, t, d) = x_btd.size3().expect("three axes");
        let heads = dense(x_btd, &layer.qkv).view([b, t, 3, self.heads, d / self.heads]).permute([2, 0, 3, 1, 4]);
        let attended = attend(&heads.get(0), &heads.get(1), &heads.get(2), mask).transpose(1, 2).reshape([b, t, d]);
        let x = self.layer_norm(&(x_btd + dense(&attended, &layer.out)), &layer.out_norm);
        let inner = dense(&x, &layer.inner).gelu("none");
        self.layer_norm(&(&x + dense(&inner, &layer.outer)), &layer.last_norm)
    }

    fn layer_norm(&self, x: &Tensor, (weight, bias): &Pair) -> Tensor {
        x.layer_norm([self.width], Some(weight), Some(bias), self.eps, false)
    }
}

/// Returns the length to which a sentence of `tokens` is padded: few lengths, at most an eighth more than `tokens`, or 7 tokens.
fn length(tokens: usize) -> usize {
    let step = (tokens.next_power_of_two() / 16).max(8);
    tokens.max(1).div_ceil(step) * step
}

pub(super) fn dense(x: &Tensor, (weight, bias): &Pair) -> Tensor {
    x.linear(weight, Some(bias))
}

/// Reads pooling and normalisation from the files of sentence-transformers.
fn pooling(dir: &Path) -> Result<(Pooling, bool), OpError> {
    let modules = dir.join("modules.json");
    let (mut pooling_dir, mut normalize) = ("1_Pooling".to_owned(), true);
    if modules.exists() {
        normalize = false;
        for module in json(&modules)?.as_array().into_iter().flatten() {
            let kind = module["type"].as_str().unwrap_or("");
            if kind.ends_with("Pooling") {
                pooling_dir = module["path"].as_str().unwrap_or("1_Pooling").to_owned();
            }
            normalize |= kind.ends_with("Normalize");
        }
    }
    let path = dir.join(pooling_dir).join("config.json");
    let settings = if path.exists() { json(&path)? } else { Json::Null };
    let first = settings["pooling_mode_cls_token"].as_bool() == Some(true);
    let mean = settings["pooling_mode_mean_tokens"].as_bool().unwrap_or(!first);
    match (first, mean) {
        (true, false) => Ok((Pooling::First, normalize)),
        (false, true) => Ok((Pooling::Mean, normalize)),
        _ => Err(OpError::new("E0503", format!("{}: only first-token or mean pooling is supported", path.display()))),
    }
}

/// Weights by plain name, taken one by one so that left-overs are seen.
pub(super) struct Weights {
    tensors: BTreeMap<String, Tensor>,
}

impl Weights {
    pub(super) fn read(dir: &Path) -> Result<Self, OpError> {
        let mut tensors = BTreeMap::new();
        for file in weights::files(dir)? {
            weights::for_each(&file, |name, tensor| {
                let name = ["bert.", "roberta.", "model."].iter().find_map(|p| name.strip_prefix(p)).unwrap_or(name);
                let name =
                    name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias");
                if tensor.kind() != Kind::Int64 {
                    tensors.insert(name, tensor.to_kind(Kind::Float));
                }
                Ok(())
            })?;
        }
        Ok(Self { tensors })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    pub(super) fn take(&mut self, name: &str) -> Result<Tensor, OpError> {
        self.tensors.remove(name).ok_or_else(|| OpError::new("E0503", format!("the encoder has no weight `{name}`")))
    }

    pub(super) fn pair(&mut self, prefix: &str) -> Result<Pair, OpError> {
        Ok((self.take(&format!("{prefix}.weight"))?, self.take(&format!("{prefix}.bias"))?))
    }

    fn layer(&mut self, i: i64) -> Result<Layer, OpError> {
        let prefix = format!("encoder.layer.{i}");
        let [q, k, v] = ["query", "key", "value"].map(|n| self.pair(&format!("{prefix}.attention.self.{n}")));
        let (q, k, v) = (q?, k?, v?);
        Ok(Layer {
            qkv: (Tensor::cat(&[q.0, k.0, v.0], 0), Tensor::cat(&[q.1, k.1, v.1], 0)),
            out: self.pair(&format!("{prefix}.attention.output.dense"))?,
            out_norm: self.pair(&format!("{prefix}.attention.output.LayerNorm"))?,
            inner: self.pair(&format!("{prefix}.intermediate.dense"))?,
            outer: self.pair(&format!("{prefix}.output.dense"))?,
            last_norm: self.pair(&format!("{prefix}.output.LayerNorm"))?,
        })
    }

    /// Fails on names that nobody took, but for those that begin like some that are not needed.
    pub(super) fn finish(self, dir: &Path, unneeded: &[&str]) -> Result<(), OpError> {
        let odd: Vec<_> = self.tensors.keys().filter(|n| !unneeded.iter().any(|h| n.starts_with(h))).collect();
        match odd.first() {
            None => Ok(()),
            Some(name) => Err(OpError::new(
                "E0503",
                format!("{}: {} unknown weights, such as `{name}`", dir.display(), odd.len()),
            )),
        }
    }
}

/// Reads a file of JSON.
pub(super) fn json(path: &Path) -> Result<Json, OpError> {
    let bytes = std::fs::read(path).map_err(|e| OpError::new("E0501", format!("{}: {e}", path.display())))?;
    serde_json::from_slice(&bytes).map_err(|e| OpError::new("E0503", format!("{}: {e}", path.display())))
}
