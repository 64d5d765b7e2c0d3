//! Keys and values of the tokens seen so far, for generation and for scoring many continuations of one prompt.
//!
//! Shapes: `b` rows, `t` new tokens, `s` tokens seen, `d` model width.

use tch::{Kind, Tensor, no_grad};

use super::attention::{Mask, causal};
use super::block::LayerCache;
use super::collate::Batch;
use super::qwen_vl::{Embedded, QwenVl};
use crate::base::OpError;

/// The state of a prompt after its prefill.
pub struct KvCache {
    layers: Vec<LayerCache>,
    /// `[b, s]` booleans, false at padding; None when nothing is padded.
    real: Option<Tensor>,
    /// `[b, s]`: what an amplifier adds to the attention scores of each token; None without one.
    bias: Option<Tensor>,
    /// Position of each row's next token.
    next: Vec<i64>,
    capacity: i64,
}

impl KvCache {
    /// Runs a prompt and returns its state, with room for `more` tokens, and the hidden state at its last token.
    ///
    /// # Shapes
    /// `batch`: unpadded or padded on the left; hidden `[b, d]`, after the final norm.
    ///
    /// # Errors
    /// As [`QwenVl::embed`].
    pub fn prefill(model: &QwenVl, batch: &Batch, more: i64) -> Result<(Self, Tensor), OpError> {
        Self::prefill_embedded(model, batch, no_grad(|| model.embed(batch))?, more)
    }

    /// As [`Self::prefill`], on embeddings that are there already.
    ///
    /// # Errors
    /// `E0612` when the batch has no two axes.
    pub fn prefill_embedded(
        model: &QwenVl,
        batch: &Batch,
        embedded: Embedded,
        more: i64,
    ) -> Result<(Self, Tensor), OpError> {
        no_grad(|| {
            let (b, t) = batch.input_ids.size2().map_err(|e| OpError::new("E0612", e.to_string()))?;
            let real = batch.left_padded.then(|| batch.attention_mask.not_equal(0).to_device(model.params.device()));
            let next = batch.rope_deltas.iter().map(|d| d + t).collect();
            let Embedded { mut x_btd, bias_bt } = embedded;
            let (mask, rope) = (model.mask(batch, bias_bt.as_ref()), model.rope(&batch.position_ids));
            let mut cache = Self { layers: Vec::new(), real, bias: bias_bt, next, capacity: t + more };
            cache.layers = cache.room(model, b);
            for (block, layer) in model.blocks.iter().zip(&mut cache.layers) {
                x_btd = block.forward(&x_btd, &rope, &mask, Some(layer));
            }
            Ok((cache, model.norm.forward(&x_btd.select(1, t - 1))))
        })
    }

    /// Runs `t` more text tokens per row and returns their hidden states.
    ///
    /// # Shapes
    /// `ids`: `[b, t]`; result `[b, t, d]`, after the final norm.
    pub fn extend(&mut self, model: &QwenVl, ids: &Tensor) -> Tensor {
        let (b, t) = ids.size2().expect("two axes");
        self.push(model, ids, None, &vec![t; b as usize])
    }

    /// Runs texts of different lengths, one per row, and returns the hidden state at the last token of each.
    ///
    /// # Shapes
    /// Result `[b, d]`, after the final norm.
    pub fn extend_each(&mut self, model: &QwenVl, texts: &[&[i64]]) -> Tensor {
        let lens: Vec<i64> = texts.iter().map(|t| t.len() as i64).collect();
        let longest = lens.iter().copied().max().unwrap_or(0) as usize;
        let mut ids = vec![0; texts.len() * longest];
        for (row, text) in ids.chunks_mut(longest.max(1)).zip(texts) {
            row[..text.len()].copy_from_slice(text);
        }
        let ids = Tensor::from_slice(&ids).view([texts.len() as i64, longest as i64]);
        let ragged = lens.iter().any(|l| *l != longest as i64);
        let mask = ragged.then(|| {
            let places = Tensor::arange(longest as i64, (Kind::Int64, tch::Device::Cpu)).view([1, -1]);
            places.less_tensor(&Tensor::from_slice(&lens).view([-1, 1]))
        });
        let hidden = self.push(model, &ids, mask.as_ref(), &lens);
        let device = hidden.device();
        let last =
            Tensor::from_slice(&lens.iter().map(|l| l - 1).collect::<Vec<_>>()).to_device(device).view([-1, 1, 1]);
        let width = hidden.size()[2];
        no_grad(|| hidden.gather(1, &last.expand([texts.len() as i64, 1, width], false), false).select(1, 0))
    }

    /// Runs new tokens `[b, t]`; `given` is false where a row has none any more. Rows go on after their own `lens`.
    fn push(&mut self, model: &QwenVl, ids: &Tensor, given: Option<&Tensor>, lens: &[i64]) -> Tensor {
        no_grad(|| {
            let device = model.params.device();
            let ids = ids.to_device(device);
            let (b, t) = ids.size2().expect("two axes");
            if given.is_some() && self.real.is_none() {
                let seen = self.layers.first().map_or(0, |l| l.len);
                self.real = Some(Tensor::ones([b, seen], (Kind::Bool, device)));
            }
            let starts = Tensor::from_slice(&self.next).view([1, b, 1]);
            let positions = (starts + Tensor::arange(t, (Kind::Int64, tch::Device::Cpu))).expand([3, b, t], false);
            let rope = model.rope(&positions);
            let mask = match &mut self.real {
                None => Mask::Causal,
                Some(real) => {
                    let new = given.map_or_else(|| Tensor::ones([b, t], (Kind::Bool, device)), |g| g.to_device(device));
                    *real = Tensor::cat(&[real.shallow_clone(), new], 1);
                    let s = real.size()[1];
                    let allowed = real.view([b, 1, 1, s]).logical_and(&causal(t, s, device));
                    Mask::allowed(&allowed, model.params.kind())
                }
            };
            let mask = match &mut self.bias {
                None => mask,
                Some(bias) => {
                    *bias = Tensor::cat(&[bias.shallow_clone(), Tensor::zeros([b, t], (bias.kind(), device))], 1);
                    mask.biased(bias, t)
                }
            };
            let mut x_btd = Tensor::embedding(&model.embedding, &ids, -1, false, false);
            for (block, layer) in model.blocks.iter().zip(&mut self.layers) {
                x_btd = block.forward(&x_btd, &rope, &mask, Some(layer));
            }
            self.next.iter_mut().zip(lens).for_each(|(n, len)| *n += len);
            model.norm.forward(&x_btd)
        })
    }

    /// Returns the state of some rows, in this order and perhaps several times, with room for `more` tokens.
    pub fn select(&self, model: &QwenVl, rows: &[usize], more: i64) -> Self {
        no_grad(|| {
            let seen = self.layers.first().map_or(0, |l| l.len);
            let places: Vec<i64> = rows.iter().map(|r| *r as i64).collect();
            let places = Tensor::from_slice(&places).to_device(model.params.device());
            let mut copy = Self {
                layers: Vec::new(),
                real: self.real.as_ref().map(|r| r.index_select(0, &places)),
                bias: self.bias.as_ref().map(|b| b.index_select(0, &places)),
                next: rows.iter().map(|r| self.next[*r]).collect(),
                capacity: seen + more,
            };
            copy.layers = copy.room(model, rows.len() as i64);
            for (new, old) in copy.layers.iter_mut().zip(&self.layers) {
                new.keys.narrow(2, 0, seen).copy_(&old.keys.narrow(2, 0, seen).index_select(0, &places));
                new.values.narrow(2, 0, seen).copy_(&old.values.narrow(2, 0, seen).index_select(0, &places));
                new.len = seen;
            }
            copy
        })
    }

    /// Returns how many more tokens there is room for.
    pub fn left(&self) -> i64 {
        self.capacity - self.layers.first().map_or(0, |l| l.len)
    }

    fn room(&self, model: &QwenVl, rows: i64) -> Vec<LayerCache> {
        let text = &model.config.text;
        let shape = [rows, text.kv_heads, self.capacity, text.head_width()];
        let empty = || Tensor::empty(shape, (model.params.kind(), model.params.device()));
        model.blocks.iter().map(|_| LayerCache { keys: empty(), values: empty(), len: 0 }).collect()
    }
}
