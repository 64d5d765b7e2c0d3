//! Gradient clipping by the global norm.

use tch::Tensor;

/// Scales gradients in place so that their global norm is at most `most` (0: never) and returns the norm from before.
///
/// # Shapes
/// `grads_n`: `[n]` f32, all gradients of the model.
///
/// # Precision
/// Norm and scale in f32; the factor is `min(1, most / (norm + 1e-6))`, as `torch.nn.utils.clip_grad_norm_`.
pub fn clip(grads_n: &mut Tensor, most: f64) -> f64 {
    tch::no_grad(|| {
        let norm = grads_n.norm().double_value(&[]);
        let factor = most / (norm + 1e-6);
        if most > 0.0 && factor < 1.0 {
            let _ = grads_n.g_mul_scalar_(factor);
        }
        norm
    })
}
