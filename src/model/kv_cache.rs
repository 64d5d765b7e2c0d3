//! Keys and values of the tokens seen so far, for generation and for scoring many continuations of one prompt.
//!
//! Shapes: `b` rows, `t` new tokens, `s` tokens seen, `d` model width.

use tch::{Kind, Tensor, no_grad};

use super::attention::{Mask, causal};
use super::block::LayerCache;
use super::collate::Batch;
use super::qwen_vl::QwenVl;
use crate::base::OpError;

/// The state of a prompt after its prefill.
pub struct KvCache {
    layers: Vec<LayerCache>,
    /// `[b, s]` booleans, false at padding; None when nothing is padded.
    real: Option<Tensor>,
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
        no_grad(|| {
            let (b, t) = batch.input_ids.size2().map_err(|e| OpError::new("E0612", e.to_string()))?;
            let real = batch.left_padded.then(|| batch.attention_mask.not_equal(0).to_device(model.params.device()));
            let next = batch.rope_deltas.iter().map(|d| d + t).collect();
            let mut cache = Self { layers: Vec::new(), real, next, capacity: t + more };
            cache.layers = cache.room(model, b);
            let (mask, rope) = (model.mask(batch), model.rope(&batch.position_ids));
            let mut x_btd = model.embed(batch)?;
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
        no_grad(|| {
            let device = model.params.device();
            let ids = ids.to_device(device);
            let (b, t) = ids.size2().expect("two axes");
            let starts = Tensor::from_slice(&self.next).view([1, b, 1]);
            let positions = (starts + Tensor::arange(t, (Kind::Int64, tch::Device::Cpu))).expand([3, b, t], false);
            let rope = model.rope(&positions);
            let mask = match &mut self.real {
                None => Mask::Causal,
                Some(real) => {
                    *real = Tensor::cat(&[real.shallow_clone(), Tensor::ones([b, t], (Kind::Bool, device))], 1);
                    let s = real.size()[1];
                    let allowed = real.view([b, 1, 1, s]).logical_and(&causal(t, s, device));
                    Mask::allowed(&allowed, model.params.kind())
                }
            };
            let mut x_btd = Tensor::embedding(&model.embedding, &ids, -1, false, false);
            for (block, layer) in model.blocks.iter().zip(&mut self.layers) {
                x_btd = block.forward(&x_btd, &rope, &mask, Some(layer));
            }
            self.next.iter_mut().for_each(|n| *n += t);
            model.norm.forward(&x_btd)
        })
    }

    /// Returns `n` copies of a one-row state, with room for `more` tokens.
    pub fn repeat(&self, model: &QwenVl, n: i64, more: i64) -> Self {
        no_grad(|| {
            let seen = self.layers.first().map_or(0, |l| l.len);
            let mut copy = Self {
                layers: Vec::new(),
                real: self.real.as_ref().map(|r| r.expand([n, -1], false)),
                next: self.next.repeat(n as usize),
                capacity: seen + more,
            };
            copy.layers = copy.room(model, n);
            for (new, old) in copy.layers.iter_mut().zip(&self.layers) {
                new.keys.narrow(2, 0, seen).copy_(&old.keys.narrow(2, 0, seen));
                new.values.narrow(2, 0, seen).copy_(&old.values.narrow(2, 0, seen));
                new.len = seen;
            }
            copy
        })
    }

    fn room(&self, model: &QwenVl, rows: i64) -> Vec<LayerCache> {
        let text = &model.config.text;
        let shape = [rows, text.kv_heads, self.capacity, text.head_width()];
        let empty = || Tensor::empty(shape, (model.params.kind(), model.params.device()));
        model.blocks.iter().map(|_| LayerCache { keys: empty(), values: empty(), len: 0 }).collect()
    }
}
