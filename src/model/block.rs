//! One block of the text decoder.
//!
//! Shapes: `b` batch, `t` tokens, `d` model width, `h` query heads, `g` key heads, `k` head width, `s` keys.

use tch::Tensor;

use super::attention::{Mask, attend};
use super::config::TextConfig;
use super::fused::Turned;
use super::linear::Linear;
use super::mlp::Mlp;
use super::norm::RmsNorm;
use super::params::Params;
use super::rope::Rope;

/// The keys and values of one block for the tokens seen so far.
pub struct LayerCache {
    /// `[b, g, capacity, k]`.
    pub keys: Tensor,
    /// `[b, g, capacity, k]`.
    pub values: Tensor,
    /// Tokens held.
    pub len: i64,
}

impl LayerCache {
    /// Appends new keys and values `[b, g, t, k]` and returns views of all.
    fn push(&mut self, keys: &Tensor, values: &Tensor) -> (Tensor, Tensor) {
        let t = keys.size()[2];
        self.keys.narrow(2, self.len, t).copy_(keys);
        self.values.narrow(2, self.len, t).copy_(values);
        self.len += t;
        (self.keys.narrow(2, 0, self.len), self.values.narrow(2, 0, self.len))
    }
}

/// `x += attention(norm x)`, then `x += mlp(norm x)`.
pub struct Block {
    input_norm: RmsNorm,
    /// q, k and v, stacked.
    pub qkv: Linear,
    /// Attention output.
    pub out: Linear,
    post_norm: RmsNorm,
    /// The MLP.
    pub mlp: Mlp,
    heads: i64,
    kv_heads: i64,
}

impl Block {
    /// Takes block `i` from the parameters.
    pub(crate) fn new(params: &mut Params, i: usize, config: &TextConfig) -> Self {
        let prefix = format!("model.layers.{i}");
        let attn = |name: &str| format!("{prefix}.self_attn.{name}");
        Self {
            input_norm: RmsNorm::new(params, &format!("{prefix}.input_layernorm.weight"), config.eps),
            qkv: Linear::new(params, &[attn("q_proj"), attn("k_proj"), attn("v_proj")], config.qkv_bias),
            out: Linear::new(params, &[attn("o_proj")], false),
            post_norm: RmsNorm::new(params, &format!("{prefix}.post_attention_layernorm.weight"), config.eps),
            mlp: Mlp::new(params, &format!("{prefix}.mlp"), false),
            heads: config.heads,
            kv_heads: config.kv_heads,
        }
    }

    /// Applies the block; with a cache, the new tokens also see the cached ones.
    ///
    /// # Shapes
    /// `x_btd` in and out; tables of `rope`: `[b, t, 1, k/2]`.
    pub fn forward(&self, x_btd: &Tensor, rope: &Rope, mask: &Mask, cache: Option<&mut LayerCache>) -> Tensor {
        let x = x_btd + self.attention(x_btd, rope, mask, cache);
        &x + self.mlp.after(&self.post_norm, &x)
    }

    fn attention(&self, x_btd: &Tensor, rope: &Rope, mask: &Mask, cache: Option<&mut LayerCache>) -> Tensor {
        let (b, t, d) = x_btd.size3().expect("three axes");
        let (h, g) = (self.heads, self.kv_heads);
        let turned = Turned { rope, heads: h + g, width: d / h };
        let qkv = self.input_norm.then_turned(x_btd, &self.qkv, &turned).split_with_sizes([h, g, g], 2);
        let (q, k, v) = (qkv[0].transpose(1, 2), qkv[1].transpose(1, 2), qkv[2].transpose(1, 2));
        let (k, v) = match cache {
            Some(cache) => cache.push(&k, &v),
            None => (k, v),
        };
        self.out.forward(&attend(&q, &k, &v, mask).transpose(1, 2).reshape([b, t, d]))
    }
}
