// Matrix products that do not depend on how well libtorch multiplies bf16 here: on a processor without AVX-512 it does so one number at a time, many
// times slower than f32. There the factors are widened and the result is narrowed: the same sums in f32, rounded once.
#pragma once
#include <optional>

#include <ATen/ATen.h>

// Says whether a product of this tensor is computed in f32 and narrowed.
bool widens(const at::Tensor& x);

// Returns x Wᵀ + bias for x `[*, i]`, W `[o, i]`.
at::Tensor widened_linear(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias);

// Returns a b of two matrices.
at::Tensor times(const at::Tensor& a, const at::Tensor& b);

// Adds a b of two matrices to `place`.
void add_times_(const at::Tensor& place, const at::Tensor& a, const at::Tensor& b);
