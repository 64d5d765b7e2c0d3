//! Attention over heads: which keys each query may see, and the softmax itself.
//!
//! Shapes: `b` batch, `h` query heads, `g` key heads, `q` queries, `s` keys, `k` head width.

use tch::{Device, Kind, Tensor};

use super::fused;

/// Which keys each query may see.
pub enum Mask {
    /// All keys.
    Full,
    /// Query i of the last q positions sees keys up to its own.
    Causal,
    /// `[b or 1, 1, q, s]`: added to the scores, 0 where allowed and the lowest finite number elsewhere.
    Added(Tensor),
}

impl Mask {
    /// Makes an additive mask from booleans (true = may see), `[b or 1, 1, q, s]`.
    ///
    /// The lowest finite number instead of -inf: a padded query sees nothing, and its row must not become NaN.
    pub fn allowed(allowed: &Tensor, kind: Kind) -> Self {
        let lowest = if kind == Kind::Half { -65504.0 } else { -3.3e38 };
        Self::Added(allowed.logical_not().to_kind(kind) * lowest)
    }

    /// Returns the mask with a number added to the scores of each key, for `queries` last positions.
    ///
    /// # Shapes
    /// `bias_bs`: `[b, s]` of the scores' dtype.
    pub fn biased(self, bias_bs: &Tensor, queries: i64) -> Self {
        let (b, keys) = bias_bs.size2().expect("two axes");
        let bias = bias_bs.view([b, 1, 1, keys]);
        match self {
            Self::Full => Self::Added(bias.expand([b, 1, queries, keys], false)),
            Self::Added(added) => Self::Added(added + bias),
            Self::Causal => {
                Self::allowed(&causal(queries, keys, bias_bs.device()), bias_bs.kind()).biased(bias_bs, queries)
            }
        }
    }

    /// Says whether the scores' additions are themselves being learned.
    fn learns(&self) -> bool {
        matches!(self, Self::Added(added) if added.requires_grad())
    }
}

/// Keys up to which the plain product is at least as fast as the tiled kernel on a CPU.
const PLAIN_UP_TO: i64 = 64;

/// Returns softmax(q kᵀ / sqrt(k)) v; key head j serves query heads `j*h/g .. (j+1)*h/g`.
///
/// # Shapes
/// `q`: `[b, h, q, k]`, `k` and `v`: `[b, g, s, k]`; result `[b, h, q, k]`.
///
/// # Precision
/// Softmax in f32.
pub fn attend(q: &Tensor, k: &Tensor, v: &Tensor, mask: &Mask) -> Tensor {
    let queries = q.size()[2];
    let keys = k.size()[2];
    if queries > 1 && fused::widens(q) {
        let wide = |x: &Tensor| x.to_kind(Kind::Float);
        let added = if let Mask::Added(added) = mask { Some(Mask::Added(wide(added))) } else { None };
        return attend(&wide(q), &wide(k), &wide(v), added.as_ref().unwrap_or(mask)).to_kind(q.kind());
    }
    // The tiled kernels give no gradient to what is added to the scores.
    if mask.learns() || matches!(q.device(), Device::Cpu) && (keys <= PLAIN_UP_TO || queries == 1) {
        return plain(q, k, v, mask);
    }
    let gqa = q.size()[1] != k.size()[1];
    let none: Option<&Tensor> = None;
    match mask {
        Mask::Full => Tensor::scaled_dot_product_attention(q, k, v, none, 0.0, false, None, gqa),
        Mask::Causal if queries == keys => Tensor::scaled_dot_product_attention(q, k, v, none, 0.0, true, None, gqa),
        Mask::Causal => {
            let allowed = causal(queries, keys, q.device());
            let Mask::Added(added) = Mask::allowed(&allowed, q.kind()) else {
                unreachable!("allowed gives an added mask")
            };
            Tensor::scaled_dot_product_attention(q, k, v, Some(&added), 0.0, false, None, gqa)
        }
        // On a GPU the memory-efficient kernel takes a mask, but as many key heads as query heads only.
        Mask::Added(added) if gqa && q.device().is_cuda() => {
            let (k, v) = (repeated(k, q.size()[1]), repeated(v, q.size()[1]));
            Tensor::scaled_dot_product_attention(q, &k, &v, Some(added), 0.0, false, None, false)
        }
        Mask::Added(added) => Tensor::scaled_dot_product_attention(q, k, v, Some(added), 0.0, false, None, gqa),
    }
}

/// Returns keys or values with each head repeated for its query heads: `[b, h, s, k]`.
fn repeated(heads: &Tensor, h: i64) -> Tensor {
    let (b, g, s, width) = heads.size4().expect("four axes");
    heads.unsqueeze(2).expand([b, g, h / g, s, width], false).reshape([b, h, s, width])
}

/// Returns `[1, 1, q, s]` booleans: query i of the last q positions may see keys up to its own.
pub fn causal(queries: i64, keys: i64, device: Device) -> Tensor {
    Tensor::ones([queries, keys], (Kind::Bool, device)).tril(keys - queries).view([1, 1, queries, keys])
}

fn plain(q: &Tensor, k: &Tensor, v: &Tensor, mask: &Mask) -> Tensor {
    let (b, h, queries, width) = q.size4().expect("four axes");
    let (_, g, keys, _) = k.size4().expect("four axes");
    // The query heads of one key head are stacked as rows, so that no key is copied per query head.
    let rows = h / g * queries;
    let q = (q * (width as f64).powf(-0.5)).reshape([b * g, rows, width]);
    let mut scores = q.bmm(&k.reshape([b * g, keys, width]).transpose(1, 2)).view([b, g, h / g, queries, keys]);
    match mask {
        Mask::Full => {}
        Mask::Causal if queries == 1 => {}
        Mask::Causal => {
            let Mask::Added(added) = Mask::allowed(&causal(queries, keys, q.device()), q.kind()) else {
                unreachable!("allowed gives an added mask")
            };
            scores += added.unsqueeze(2);
        }
        Mask::Added(added) => scores += added.unsqueeze(2),
    }
    let p = scores.softmax(-1, Kind::Float).to_kind(v.kind()).view([b * g, rows, keys]);
    p.bmm(&v.reshape([b * g, keys, width])).view([b, h, queries, width])
}
