// Products of few rows with a large matrix, as decoding needs them: y = x Wᵀ + bias, limited by how fast W is read.
#pragma once
#include <optional>

#include <ATen/ATen.h>

// Returns y for x `[*, i]`, W `[o, i]`, bias `[o]` or none: as at::linear, sums in f32. Makes no graph.
at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias);
