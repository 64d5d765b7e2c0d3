//! Gradient clipping by the global norm.

use tch::Tensor;

/// Scales gradients in place so that their global norm, which is `norm`, is at most `most` (0: never).
///
/// # Shapes
/// `grads_m`: `[m]` f32, all gradients of the model or a part of them.
///
/// # Precision
/// In f32; the factor is `min(1, most / (norm + 1e-6))`, as `torch.nn.utils.clip_grad_norm_`.
pub fn clip(grads_m: &mut Tensor, norm: f64, most: f64) {
    let factor = most / (norm + 1e-6);
    if most > 0.0 && factor < 1.0 {
        let _ = tch::no_grad(|| grads_m.g_mul_scalar_(factor));
    }
}
