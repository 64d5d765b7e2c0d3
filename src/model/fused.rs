//! Layers whose backward computes again what is cheap, so that a forward pass keeps little: the input of a norm instead of what it makes, the two
//! halves of a gated MLP instead of their product. Gradients of weights are added where they lie.
//!
//! Shapes: `i` inputs, `o` outputs, `*` any leading axes. All of them fail as libtorch's own operations do, which `guard` turns into an error.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{null, null_mut};

use tch::Tensor;

use super::rope::Rope;

/// A norm before a linear layer.
pub struct Norm<'a> {
    /// `[i]`.
    pub weight: &'a Tensor,
    /// Added to the mean square.
    pub eps: f64,
}

/// Heads of a linear layer's output that are turned by their positions.
pub struct Turned<'a> {
    /// The angles.
    pub rope: &'a Rope,
    /// How many heads, from the first on.
    pub heads: i64,
    /// Width of a head.
    pub width: i64,
}

/// Returns `x / sqrt(mean(x²) + eps) * weight` over the last axis.
///
/// # Precision
/// Statistics and scaling in f32, cast back, then times the weight.
pub fn norm(x: &Tensor, norm: &Norm) -> Tensor {
    call::norm(x, norm)
}

/// Returns `norm(x) Wᵀ + bias`; with `turned` as heads, the first of them turned.
///
/// # Shapes
/// `x`: `[*, i]`; `weight`: `[o, i]`; result `[*, o]`, or `[*, heads, width]`.
///
/// # Precision
/// As [`norm`]; heads are turned in the type of the tables.
pub fn norm_linear(x: &Tensor, norm: &Norm, weight: &Tensor, bias: Option<&Tensor>, turned: Option<&Turned>) -> Tensor {
    call::norm_linear(x, norm, weight, bias, turned)
}

/// Returns `(silu(gate) * up) Wᵀ + bias`.
///
/// # Shapes
/// `gate_up`: `[*, 2 i]`; `weight`: `[o, i]`; result `[*, o]`.
pub fn gated_linear(gate_up: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    call::gated_linear(gate_up, weight, bias)
}

/// Returns `x Wᵀ + bias`.
///
/// # Shapes
/// `x`: `[*, i]`; `weight`: `[o, i]`; result `[*, o]`.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    call::linear(x, weight, bias)
}

/// Says whether products with this tensor are computed in f32 and narrowed: bf16 on a processor that multiplies it one number at a time.
pub fn widens(x: &Tensor) -> bool {
    call::widens(x)
}

/// Runs backward from `made`, whose gradient is known; where nothing behind it learns, there is nothing to do.
pub fn backward(made: &Tensor, grad: &Tensor) {
    if made.requires_grad() {
        call::backward(made, grad);
    }
}

/// The calls through the C face, `shim/fused.h`.
#[allow(unsafe_code)]
mod call {
    use super::*;

    unsafe extern "C" {
        fn rb_norm(x: *const c_void, weight: *const c_void, eps: f64, out: *mut *mut c_void) -> *mut c_char;
        fn rb_norm_linear(
            x: *const c_void,
            norm: *const c_void,
            eps: f64,
            weight: *const c_void,
            bias: *const c_void,
            cos: *const c_void,
            sin: *const c_void,
            turned: i64,
            width: i64,
            out: *mut *mut c_void,
        ) -> *mut c_char;
        fn rb_gated_linear(
            gate_up: *const c_void,
            weight: *const c_void,
            bias: *const c_void,
            out: *mut *mut c_void,
        ) -> *mut c_char;
        fn rb_linear(
            x: *const c_void,
            weight: *const c_void,
            bias: *const c_void,
            out: *mut *mut c_void,
        ) -> *mut c_char;
        fn rb_widens(x: *const c_void) -> c_int;
        fn rb_backward(made: *const c_void, grad: *const c_void) -> *mut c_char;
        fn rb_fused_free(message: *mut c_char);
    }

    pub(super) fn norm(x: &Tensor, norm: &Norm) -> Tensor {
        // SAFETY: here and below, pointers to live tensors, or null where the C face allows it, and a place for the result.
        made(|out| unsafe { rb_norm(at(x), at(norm.weight), norm.eps, out) })
    }

    pub(super) fn norm_linear(
        x: &Tensor,
        norm: &Norm,
        weight: &Tensor,
        bias: Option<&Tensor>,
        turned: Option<&Turned>,
    ) -> Tensor {
        let (cos, sin) = (maybe(turned.map(|t| &t.rope.cos)), maybe(turned.map(|t| &t.rope.sin)));
        let (heads, width) = turned.map_or((0, 0), |t| (t.heads, t.width));
        let (x, scale, weight, bias) = (at(x), at(norm.weight), at(weight), maybe(bias));
        made(|out| unsafe { rb_norm_linear(x, scale, norm.eps, weight, bias, cos, sin, heads, width, out) })
    }

    pub(super) fn gated_linear(gate_up: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
        made(|out| unsafe { rb_gated_linear(at(gate_up), at(weight), maybe(bias), out) })
    }

    pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
        made(|out| unsafe { rb_linear(at(x), at(weight), maybe(bias), out) })
    }

    pub(super) fn widens(x: &Tensor) -> bool {
        unsafe { rb_widens(at(x)) != 0 }
    }

    pub(super) fn backward(made: &Tensor, grad: &Tensor) {
        said(unsafe { rb_backward(at(made), at(grad)) });
    }

    fn at(tensor: &Tensor) -> *const c_void {
        tensor.as_ptr().cast()
    }

    fn maybe(tensor: Option<&Tensor>) -> *const c_void {
        tensor.map_or(null(), at)
    }

    fn made(call: impl FnOnce(*mut *mut c_void) -> *mut c_char) -> Tensor {
        let mut out = null_mut();
        said(call(&raw mut out));
        // SAFETY: a new tensor, which the C face gives away.
        unsafe { Tensor::from_ptr(out.cast()) }
    }

    /// Fails as the operators of `tch` do: with a panic that has libtorch's message.
    fn said(message: *mut c_char) {
        if message.is_null() {
            return;
        }
        // SAFETY: a text that ends in 0, made for this call and freed once.
        let text = unsafe {
            let text = CStr::from_ptr(message).to_string_lossy().into_owned();
            rb_fused_free(message);
            text
        };
        panic!("{text}");
    }
}
