// See matrix.h.
#include "matrix.h"

using at::Tensor;

bool widens(const Tensor& x) {
#if defined(__x86_64__)
  static const bool slow = !(__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"));
  return slow && x.scalar_type() == at::kBFloat16 && x.device().is_cpu();
#else
  (void)x;
  return false;
#endif
}

Tensor widened_linear(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias) {
  if (!widens(x)) {
    return at::linear(x, weight, bias);
  }
  std::optional<Tensor> wide = bias ? std::optional<Tensor>(bias->to(at::kFloat)) : std::nullopt;
  return at::linear(x.to(at::kFloat), weight.to(at::kFloat), wide).to(at::kBFloat16);
}

Tensor times(const Tensor& a, const Tensor& b) {
  return widens(a) ? at::mm(a.to(at::kFloat), b.to(at::kFloat)).to(at::kBFloat16) : at::mm(a, b);
}

void add_times_(const Tensor& place, const Tensor& a, const Tensor& b) {
  if (widens(a)) {
    place.copy_(at::addmm(place.to(at::kFloat), a.to(at::kFloat), b.to(at::kFloat)));
  } else {
    place.addmm_(a, b);
  }
}
