//! Cross-entropy over labelled positions, in chunks so that the full logits never exist.
//!
//! Shapes: `n` labelled positions, `d` model width, `v` vocabulary.

use tch::{Kind, Reduction, Tensor};

/// Labelled positions per chunk on a CPU: 1,024 rows of 152,064 f32 logits are 0.6 GB.
pub const CHUNK: i64 = 1024;
/// Logits per chunk on a GPU, where few large kernels are faster: 0.6 GB, whatever the vocabulary.
const LOGITS_ON_GPU: i64 = 1 << 27;

fn chunk_of(head_vd: &Tensor) -> i64 {
    if head_vd.device().is_cuda() { CHUNK.max(LOGITS_ON_GPU / head_vd.size()[0].max(1)) } else { CHUNK }
}

/// Adds the gradient of `Σ weight · cross-entropy` to the leaves behind `hidden_nd` and `head_vd`, and returns the unweighted
/// cross-entropies in nats: `[n]` f32, detached.
///
/// One chunk of logits lives at a time: each chunk runs backward at once into the hidden rows, and the body of the model once at
/// the end.
///
/// # Shapes
/// `hidden_nd`: `[n, d]`, rows that predict a label; `head_vd`: `[v, d]`; `targets_n`: `[n]` i64; `weights_n`: `[n]` f32.
///
/// # Precision
/// The matmul in the type of `hidden_nd`; log-softmax and sum in f32.
///
/// # Source
/// Cross-entropy summed over labels, divided by the caller (torchtitan's `cross_entropy_loss`). Label smoothing as
/// `torch.nn.functional.cross_entropy`.
pub fn backward(
    hidden_nd: &Tensor,
    head_vd: &Tensor,
    targets_n: &Tensor,
    weights_n: &Tensor,
    smoothing: f64,
) -> Tensor {
    let (n, most) = (targets_n.size()[0], chunk_of(head_vd));
    if n <= most {
        let losses_n = losses(hidden_nd, head_vd, targets_n, smoothing);
        (&losses_n * weights_n).sum(Kind::Float).backward();
        return losses_n.detach();
    }
    let leaf_nd = hidden_nd.detach().set_requires_grad(true);
    let mut parts = Vec::new();
    for start in (0..n).step_by(most as usize) {
        let chunk = |t: &Tensor| t.narrow(0, start, most.min(n - start));
        let losses_n = losses(&chunk(&leaf_nd), head_vd, &chunk(targets_n), smoothing);
        (&losses_n * chunk(weights_n)).sum(Kind::Float).backward();
        parts.push(losses_n.detach());
    }
    (hidden_nd * leaf_nd.grad()).sum(None::<Kind>).backward();
    Tensor::cat(&parts, 0)
}

/// Returns the cross-entropy of each target in nats: `[n]` f32, differentiable.
///
/// # Shapes
/// As [`backward`].
pub fn losses(hidden_nd: &Tensor, head_vd: &Tensor, targets_n: &Tensor, smoothing: f64) -> Tensor {
    let logits_nv = hidden_nd.linear(head_vd, None::<&Tensor>).to_kind(Kind::Float);
    logits_nv.cross_entropy_loss(targets_n, None::<Tensor>, Reduction::None, -100, smoothing)
}

/// Returns the log-probability of each target in nats, in chunks: `[n]` f32, differentiable.
///
/// # Shapes
/// As [`backward`].
pub fn logps(hidden_nd: &Tensor, head_vd: &Tensor, targets_n: &Tensor) -> Tensor {
    let (n, most) = (targets_n.size()[0], chunk_of(head_vd));
    let chunk = |start: i64| {
        let len = most.min(n - start);
        losses(&hidden_nd.narrow(0, start, len), head_vd, &targets_n.narrow(0, start, len), 0.0).neg()
    };
    let parts: Vec<Tensor> = (0..n).step_by(most as usize).map(chunk).collect();
    if parts.is_empty() { Tensor::zeros([0], (Kind::Float, hidden_nd.device())) } else { Tensor::cat(&parts, 0) }
}
