// The C face of layers whose backward computes again what is cheap, so that the forward keeps little. Every call returns null, or a message that
// the caller frees with rb_fused_free. Tensors are those of libtorch; results are new ones that the caller owns. `none` stands for a null pointer.
#pragma once
#include <cstdint>

extern "C" {
// y = x / sqrt(mean(x²) + eps) * weight over the last axis. Keeps x and one number a row.
char* rb_norm(const void* x, const void* weight, double eps, void** out);

// y = norm(x) Wᵀ + bias, bias or none. With tables cos and sin (or none) the first `turned` heads of y, `width` wide, are turned by them: the
// result is then [.., heads, width]. Keeps x and one number a row.
char* rb_norm_linear(const void* x, const void* norm, double eps, const void* weight, const void* bias, const void* cos, const void* sin,
                     int64_t turned, int64_t width, void** out);

// y = (silu(gate) * up) Wᵀ + bias, where the last axis of gate_up is gate, then up. Keeps gate_up.
char* rb_gated_linear(const void* gate_up, const void* weight, const void* bias, void** out);

// y = x Wᵀ + bias. Keeps x; the gradient of W is added where it lies.
char* rb_linear(const void* x, const void* weight, const void* bias, void** out);

// Says whether products with this tensor are computed in f32 and narrowed, see matrix.h.
int rb_widens(const void* x);

// Runs backward from `made` with its gradient `grad`.
char* rb_backward(const void* made, const void* grad);

void rb_fused_free(char* message);
}
