// Layers with a backward of their own: see fused.h. Shapes: rows are all leading axes together.
#include "few_rows.h"
#include "fused.h"
#include "guarded.h"
#include "matrix.h"

#include <cstdlib>

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;
using Maybe = std::optional<Tensor>;

namespace {

const Tensor& given(const void* pointer) {
  return *static_cast<const Tensor*>(pointer);
}

Maybe maybe(const void* pointer) {
  return pointer == nullptr ? Maybe() : Maybe(given(pointer));
}

Tensor rows_of(const Tensor& x) {
  return x.reshape({-1, x.size(-1)});
}

// A norm's input scaled to root mean square 1, in the type of x; the factors are f32, [.., 1].
Tensor scaled(const Tensor& x, const Tensor& factors) {
  if (x.scalar_type() == at::kFloat) {
    return x * factors;
  }
  return x.to(at::kFloat).mul_(factors).to(x.scalar_type());
}

Tensor factors_of(const Tensor& x, double eps) {
  Tensor mean = x.to(at::kFloat).square().mean(-1, true);
  return mean.add_(eps).rsqrt_();
}

struct NormGrads {
  Tensor x, weight;
};

// Backward of the norm; `grad` is this function's to change.
NormGrads norm_backward(Tensor grad, const Tensor& x, const Tensor& factors, const Tensor& weight, const Tensor& unit, bool wants_x, bool wants_weight) {
  NormGrads out;
  if (wants_weight) {
    out.weight = rows_of(grad * unit).sum(0);
  }
  if (!wants_x) {
    return out;
  }
  Tensor wide = grad.mul_(weight).to(at::kFloat);
  Tensor n = x.scalar_type() == at::kFloat ? unit : x.to(at::kFloat).mul_(factors);
  Tensor along = (wide * n).mean(-1, true);
  out.x = wide.sub_(n * along).mul_(factors).to(x.scalar_type());
  return out;
}

// As turn_, of f32 on a processor in one pass, each product and sum rounded as libtorch's operations do: the same bits. Returns false where the
// layout is another one: heads are [.., n, width] with neighbours side by side, the tables [.., 1, width / 2] without gaps.
bool turned_in_one_pass_(const Tensor& heads, const Tensor& cos, const Tensor& sin, bool back) {
  int64_t width = heads.size(-1), half = width / 2, n = heads.size(-2);
  int64_t rows = cos.numel() / std::max<int64_t>(half, 1);
  bool plain = heads.is_cpu() && heads.scalar_type() == at::kFloat && cos.scalar_type() == at::kFloat && cos.is_contiguous() && sin.is_contiguous() &&
               heads.stride(-1) == 1 && heads.stride(-2) == width && width == 2 * half && rows * n * width == heads.numel() && rows > 0;
  int64_t step = plain && heads.dim() > 2 ? heads.stride(-3) : n * width;
  for (int64_t axis = 0; plain && axis + 3 < heads.dim(); ++axis) {
    plain = heads.size(axis) == 1 || heads.stride(axis) == heads.stride(axis + 1) * heads.size(axis + 1);
  }
  if (!plain) {
    return false;
  }
  float* all = heads.mutable_data_ptr<float>();
  const float *c = cos.const_data_ptr<float>(), *s = sin.const_data_ptr<float>();
  at::parallel_for(0, rows, std::max<int64_t>(1, 16384 / (n * width)), [&](int64_t from, int64_t to) {
    for (int64_t row = from; row < to; ++row) {
      const float *cr = c + row * half, *sr = s + row * half;
      for (int64_t head = 0; head < n; ++head) {
        float *first = all + row * step + head * width, *second = first + half;
        for (int64_t i = 0; i < half; ++i) {
          float a = first[i], b = second[i], across = b * sr[i], along = a * sr[i];
          first[i] = back ? a * cr[i] + across : a * cr[i] - across;
          second[i] = back ? b * cr[i] - along : b * cr[i] + along;
        }
      }
    }
  });
  return true;
}

// Turns pairs of channels (c, c + width / 2) of heads, in place: by the tables, or back.
void turn_(const Tensor& heads, const Tensor& cos, const Tensor& sin, bool back) {
  if (turned_in_one_pass_(heads, cos, sin, back)) {
    return;
  }
  int64_t half = heads.size(-1) / 2;
  Tensor first = heads.narrow(-1, 0, half), second = heads.narrow(-1, half, half);
  Tensor a = first.to(cos.scalar_type()), b = second.to(cos.scalar_type());
  Tensor low = a * cos, high = b * cos;
  Tensor across = b * sin, along = a * sin;
  if (back) {
    low.add_(across);
    high.sub_(along);
  } else {
    low.sub_(across);
    high.add_(along);
  }
  first.copy_(low);
  second.copy_(high);
}

// Adds gradᵀ x to the gradient of a weight where that has its place already, else returns it.
Tensor weight_grad(const Tensor& weight, const Tensor& grad_ro, const Tensor& x_ri) {
  if (weight.is_leaf()) {
    Tensor place = weight.grad();
    if (place.defined() && place.sizes() == weight.sizes() && place.scalar_type() == grad_ro.scalar_type()) {
      add_times_(place, grad_ro.t(), x_ri);
      return Tensor();
    }
  }
  return times(grad_ro.t(), x_ri);
}

struct Norm : Function<Norm> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight, double eps) {
    Tensor factors = factors_of(x, eps);
    Tensor y = scaled(x, factors).mul_(weight);
    if (ctx != nullptr) {
      ctx->save_for_backward({x, weight, factors});
    }
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    variable_list saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], &factors = saved[2];
    NormGrads out = norm_backward(grads[0].clone(), x, factors, weight, scaled(x, factors), ctx->needs_input_grad(0), ctx->needs_input_grad(1));
    return {out.x, out.weight, Tensor()};
  }
};

struct NormLinear : Function<NormLinear> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& norm, double eps, const Tensor& weight, const Maybe& bias,
                        const Maybe& cos, const Maybe& sin, int64_t turned, int64_t width) {
    Tensor factors = factors_of(x, eps);
    Tensor y = product(scaled(x, factors).mul_(norm), weight, bias);
    if (cos) {
      auto shape = y.sizes().vec();
      shape.back() /= width;
      shape.push_back(width);
      y = y.view(shape);
      turn_(y.narrow(-2, 0, turned), *cos, *sin, false);
    }
    if (ctx != nullptr) {
      ctx->save_for_backward({x, norm, factors, weight, cos.value_or(Tensor()), sin.value_or(Tensor())});
      ctx->saved_data["turned"] = turned;
      ctx->saved_data["bias"] = bias.has_value();
    }
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    variable_list saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &norm = saved[1], &factors = saved[2], &weight = saved[3], &cos = saved[4];
    bool bias = ctx->saved_data["bias"].toBool();
    Tensor grad = grads[0];
    if (cos.defined()) {
      grad = grad.clone(at::MemoryFormat::Contiguous);
      turn_(grad.narrow(-2, 0, ctx->saved_data["turned"].toInt()), cos, saved[5], true);
    }
    Tensor grad_ro = grad.reshape({-1, weight.size(0)});
    Tensor unit = scaled(x, factors);
    Tensor weights, biases;
    if (ctx->needs_input_grad(2)) {
      weights = weight_grad(weight, grad_ro, rows_of(unit * norm));
    }
    if (bias && ctx->needs_input_grad(3)) {
      biases = grad_ro.sum(0);
    }
    NormGrads out;
    if (ctx->needs_input_grad(0) || ctx->needs_input_grad(1)) {
      Tensor inner = times(grad_ro, weight).view(x.sizes());
      out = norm_backward(inner, x, factors, norm, unit, ctx->needs_input_grad(0), ctx->needs_input_grad(1));
    }
    return {out.x, out.weight, Tensor(), weights, biases, Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

struct GatedLinear : Function<GatedLinear> {
  static Tensor inner(const Tensor& gate_up, int64_t half) {
    return at::silu(gate_up.narrow(-1, 0, half)).mul_(gate_up.narrow(-1, half, half));
  }

  static Tensor forward(AutogradContext* ctx, const Tensor& gate_up, const Tensor& weight, const Maybe& bias) {
    if (ctx != nullptr) {
      ctx->save_for_backward({gate_up, weight});
      ctx->saved_data["bias"] = bias.has_value();
    }
    return product(inner(gate_up, weight.size(1)), weight, bias);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    variable_list saved = ctx->get_saved_variables();
    const Tensor &gate_up = saved[0], &weight = saved[1];
    int64_t half = weight.size(1);
    Tensor grad_ro = grads[0].reshape({-1, weight.size(0)});
    Tensor weights, biases, out;
    if (ctx->needs_input_grad(1)) {
      weights = weight_grad(weight, grad_ro, rows_of(inner(gate_up, half)));
    }
    if (ctx->saved_data["bias"].toBool() && ctx->needs_input_grad(2)) {
      biases = grad_ro.sum(0);
    }
    if (ctx->needs_input_grad(0)) {
      Tensor both = rows_of(gate_up), gate = both.narrow(1, 0, half), up = both.narrow(1, half, half);
      Tensor grad = times(grad_ro, weight);
      out = at::empty_like(both);
      Tensor to_gate = out.narrow(1, 0, half), to_up = out.narrow(1, half, half);
      at::silu_out(to_up, gate);
      to_up.mul_(grad);
      at::silu_backward_out(to_gate, grad.mul_(up), gate);
      out = out.view(gate_up.sizes());
    }
    return {out, weights, biases};
  }
};

struct Linear : Function<Linear> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight, const Maybe& bias) {
    if (ctx != nullptr) {
      ctx->save_for_backward({x, weight});
      ctx->saved_data["bias"] = bias.has_value();
    }
    return product(x, weight, bias);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    variable_list saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1];
    Tensor grad_ro = grads[0].reshape({-1, weight.size(0)});
    Tensor weights, biases, out;
    if (ctx->needs_input_grad(1)) {
      weights = weight_grad(weight, grad_ro, rows_of(x));
    }
    if (ctx->saved_data["bias"].toBool() && ctx->needs_input_grad(2)) {
      biases = grad_ro.sum(0);
    }
    if (ctx->needs_input_grad(0)) {
      out = times(grad_ro, weight).view(x.sizes());
    }
    return {out, weights, biases};
  }
};

// Applies a layer: with a graph where one is being made.
template <typename Layer, typename... Args>
char* applied(void** out, Args&&... args) {
  return guarded([&] {
    *out = new Tensor(at::GradMode::is_enabled() ? Layer::apply(args...) : Layer::forward(nullptr, args...));
  });
}

}  // namespace

extern "C" {

char* rb_norm(const void* x, const void* weight, double eps, void** out) {
  return applied<Norm>(out, given(x), given(weight), eps);
}

char* rb_norm_linear(const void* x, const void* norm, double eps, const void* weight, const void* bias, const void* cos, const void* sin,
                     int64_t turned, int64_t width, void** out) {
  return applied<NormLinear>(out, given(x), given(norm), eps, given(weight), maybe(bias), maybe(cos), maybe(sin), turned, width);
}

char* rb_gated_linear(const void* gate_up, const void* weight, const void* bias, void** out) {
  return applied<GatedLinear>(out, given(gate_up), given(weight), maybe(bias));
}

char* rb_linear(const void* x, const void* weight, const void* bias, void** out) {
  return applied<Linear>(out, given(x), given(weight), maybe(bias));
}

int rb_widens(const void* x) {
  return widens(given(x)) ? 1 : 0;
}

char* rb_backward(const void* made, const void* grad) {
  return guarded([&] { torch::autograd::backward({given(made)}, {given(grad)}); });
}

void rb_fused_free(char* message) {
  free(message);
}
}
