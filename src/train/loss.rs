//! Cross-entropy over labelled positions, in chunks so that the full logits never exist.
//!
//! Shapes: `n` labelled positions, `d` model width, `v` vocabulary.

use tch::{Kind, Reduction, Tensor, no_grad};

use crate::model::fused;

/// Labelled positions per chunk on a CPU: 512 rows of 152,064 f32 logits are 0.3 GB.
pub const CHUNK: i64 = 512;
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
/// The matmuls in the type of `hidden_nd`; softmax and sums in f32.
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
        return chunk_backward(hidden_nd, head_vd, targets_n, weights_n, smoothing);
    }
    let leaf_nd = hidden_nd.detach().set_requires_grad(true);
    let mut parts = Vec::new();
    for start in (0..n).step_by(most as usize) {
        let chunk = |t: &Tensor| t.narrow(0, start, most.min(n - start));
        parts.push(chunk_backward(&chunk(&leaf_nd), head_vd, &chunk(targets_n), &chunk(weights_n), smoothing));
    }
    fused::backward(hidden_nd, &leaf_nd.grad());
    Tensor::cat(&parts, 0)
}

/// As [`backward`] at once. The logits' memory becomes that of their gradient, softmax less the target: nothing else is as large.
fn chunk_backward(
    hidden_nd: &Tensor,
    head_vd: &Tensor,
    targets_n: &Tensor,
    weights_n: &Tensor,
    smoothing: f64,
) -> Tensor {
    let logits_nv = fused::linear(hidden_nd, head_vd, None);
    let (losses_n, grad_nv) = no_grad(|| {
        let (at, weights) = (targets_n.unsqueeze(1), weights_n.unsqueeze(1));
        // In f32 this is the same memory, which no backward reads.
        let mut x_nv = logits_nv.detach().to_kind(Kind::Float);
        let _ = x_nv.g_sub_(&x_nv.amax([-1].as_slice(), true));
        let mean = (smoothing > 0.0).then(|| x_nv.mean_dim(-1, true, Kind::Float));
        let picked = x_nv.gather(1, &at, false);
        let total = x_nv.exp_().sum_dim_intlist([-1].as_slice(), true, Kind::Float);
        let log = total.log();
        let mut losses = &log - &picked;
        if let Some(mean) = mean {
            losses = losses * (1.0 - smoothing) + (&log - mean) * smoothing;
        }
        let _ = x_nv.g_mul_(&(&weights / &total));
        if smoothing > 0.0 {
            let _ = x_nv.g_sub_(&(&weights * (smoothing / head_vd.size()[0] as f64)));
        }
        let _ = x_nv.scatter_add_(1, &at, &(&weights * (smoothing - 1.0)));
        (losses.squeeze_dim(1), x_nv)
    });
    if grad_nv.kind() == logits_nv.kind() {
        fused::backward(&logits_nv, &grad_nv);
    } else {
        // The logits' own memory, which is no longer read, takes the rounded gradient.
        let grad = no_grad(|| {
            let mut own = logits_nv.detach();
            own.copy_(&grad_nv);
            own
        });
        drop(grad_nv);
        fused::backward(&logits_nv, &grad);
    }
    losses_n
}

/// Returns the cross-entropy of each target in nats: `[n]` f32, differentiable.
///
/// # Shapes
/// As [`backward`].
pub fn losses(hidden_nd: &Tensor, head_vd: &Tensor, targets_n: &Tensor, smoothing: f64) -> Tensor {
    let logits_nv = fused::linear(hidden_nd, head_vd, None).to_kind(Kind::Float);
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
