// See few_rows.h. A matrix product packs W first, which takes longer than to multiply it with few rows. Here each row of W is read once and
// multiplied with all rows of x while it is in registers. Each result is one sum in one order, whatever the other rows and however many threads.
#include "few_rows.h"
#include "matrix.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include <ATen/Parallel.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define RB_FEW_ROWS 1
#endif

using at::Tensor;
using Maybe = std::optional<Tensor>;

namespace {

#ifdef RB_FEW_ROWS

// More rows are a matrix product's.
constexpr int64_t MOST_ROWS = 16;
// Rows of x that are multiplied at a time.
constexpr int TOGETHER = 4;
// Numbers of W below which one thread does it.
constexpr int64_t ALONE = 1 << 16;

// What one call computes; x in f32.
template <typename T>
struct Work {
  const float* x;
  const T* weight;
  const T* bias;
  T* y;
  int64_t rows, in, out, stride;
};

#define RB_512 __attribute__((target("avx512f,avx512bw,avx512vl,fma")))
#define RB_256 __attribute__((target("avx2,fma")))

struct Wide {
  using Lane = __m512;
  static constexpr int LANES = 16;
  RB_512 static inline Lane zero() { return _mm512_setzero_ps(); }
  RB_512 static inline Lane load(const float* p) { return _mm512_loadu_ps(p); }
  RB_512 static inline Lane load(const at::BFloat16* p) {
    __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
  }
  RB_512 static inline Lane fma(Lane a, Lane b, Lane c) { return _mm512_fmadd_ps(a, b, c); }
  RB_512 static inline float sum(Lane a) { return _mm512_reduce_add_ps(a); }
};

struct Narrow {
  using Lane = __m256;
  static constexpr int LANES = 8;
  RB_256 static inline Lane zero() { return _mm256_setzero_ps(); }
  RB_256 static inline Lane load(const float* p) { return _mm256_loadu_ps(p); }
  RB_256 static inline Lane load(const at::BFloat16* p) {
    __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
  }
  RB_256 static inline Lane fma(Lane a, Lane b, Lane c) { return _mm256_fmadd_ps(a, b, c); }
  RB_256 static inline float sum(Lane a) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_shuffle_ps(four, four, 1)));
  }
};

// Multiplies O rows of W, from `o` on, with R rows of x, from `r` on. As a macro, since a template has no target of its own choice.
#define RB_EACH _Pragma("GCC unroll 8") for
#define RB_TILE(NAME, V, TARGET)                                                                  \
  template <typename T, int O, int R>                                                             \
  TARGET void NAME(const Work<T>& w, int64_t o, int64_t r) {                                      \
    V::Lane sums[O][R];                                                                           \
    const T* from[O];                                                                             \
    const float* x[R];                                                                            \
    RB_EACH(int a = 0; a < O; a++) {                                                              \
      from[a] = w.weight + (o + a) * w.stride;                                                    \
      RB_EACH(int b = 0; b < R; b++) sums[a][b] = V::zero();                                      \
    }                                                                                             \
    RB_EACH(int b = 0; b < R; b++) x[b] = w.x + (r + b) * w.in;                                   \
    int64_t i = 0;                                                                                \
    for (; i + V::LANES <= w.in; i += V::LANES) {                                                 \
      V::Lane weights[O];                                                                         \
      RB_EACH(int a = 0; a < O; a++) {                                                            \
        weights[a] = V::load(from[a] + i);                                                        \
        _mm_prefetch(reinterpret_cast<const char*>(from[a] + i + O * w.stride), _MM_HINT_T0);     \
      }                                                                                           \
      RB_EACH(int b = 0; b < R; b++) {                                                            \
        V::Lane own = V::load(x[b] + i);                                                          \
        RB_EACH(int a = 0; a < O; a++) sums[a][b] = V::fma(weights[a], own, sums[a][b]);          \
      }                                                                                           \
    }                                                                                             \
    RB_EACH(int a = 0; a < O; a++) {                                                              \
      RB_EACH(int b = 0; b < R; b++) {                                                            \
        float total = V::sum(sums[a][b]);                                                         \
        for (int64_t rest = i; rest < w.in; rest++) total += float(from[a][rest]) * x[b][rest];   \
        if (w.bias != nullptr) total += float(w.bias[o + a]);                                     \
        w.y[(r + b) * w.out + o + a] = T(total);                                                  \
      }                                                                                           \
    }                                                                                             \
  }

RB_TILE(tile_512, Wide, RB_512)
RB_TILE(tile_256, Narrow, RB_256)

// All rows of x with O rows of W at a time, and with what is left of W one by one.
template <typename T, bool WIDE, int R>
void band(const Work<T>& w, int64_t r, int64_t first, int64_t last) {
  // Sums, rows of W and one of x fill the registers: 32, or 16.
  constexpr int O = WIDE || R <= 2 ? 4 : 2;
  int64_t o = first;
  for (; o + O <= last; o += O) {
    if constexpr (WIDE) tile_512<T, O, R>(w, o, r);
    else tile_256<T, O, R>(w, o, r);
  }
  for (; o < last; o++) {
    if constexpr (WIDE) tile_512<T, 1, R>(w, o, r);
    else tile_256<T, 1, R>(w, o, r);
  }
}

template <typename T, bool WIDE, int R = TOGETHER>
void bands(const Work<T>& w, int64_t first, int64_t last, int64_t r = 0) {
  for (; w.rows - r >= R; r += R) {
    band<T, WIDE, R>(w, r, first, last);
  }
  if constexpr (R > 1) {
    if (r < w.rows) bands<T, WIDE, R / 2>(w, first, last, r);
  }
}

// libtorch's own threads: its OpenMP is in the process already, and a second one beside it would fight it for the cores.
struct Threads {
  using Body = void (*)(void*);
  void (*parallel)(Body, void*, unsigned, unsigned);
  int (*number)();
  int (*count)();

  Threads()
      : parallel(reinterpret_cast<decltype(parallel)>(dlsym(RTLD_DEFAULT, "GOMP_parallel"))),
        number(reinterpret_cast<decltype(number)>(dlsym(RTLD_DEFAULT, "omp_get_thread_num"))),
        count(reinterpret_cast<decltype(count)>(dlsym(RTLD_DEFAULT, "omp_get_num_threads"))) {}

  bool there() const { return parallel != nullptr && number != nullptr && count != nullptr; }
};

const Threads& threads() {
  static Threads all;
  return all;
}

template <typename T>
void all_of(const Work<T>& w, bool wide, int64_t first, int64_t last) {
  // So many rows of W at a time as stay in a cache for the next rows of x.
  int64_t step = std::max<int64_t>(4, (64 << 10) / (w.in * int64_t(sizeof(T))) / 4 * 4);
  for (int64_t o = first; o < last; o += step) {
    int64_t end = std::min(last, o + step);
    wide ? bands<T, true>(w, o, end) : bands<T, false>(w, o, end);
  }
}

template <typename T>
void run(const Work<T>& w, bool wide) {
  int wanted = w.out * w.in < ALONE || at::in_parallel_region() ? 1 : at::get_num_threads();
  if (wanted <= 1 || !threads().there()) {
    return all_of(w, wide, 0, w.out);
  }
  struct Job {
    const Work<T>& work;
    bool wide;
  } job{w, wide};
  threads().parallel(
      [](void* data) {
        const Job& job = *static_cast<Job*>(data);
        int64_t number = threads().number(), count = threads().count();
        all_of(job.work, job.wide, job.work.out * number / count, job.work.out * (number + 1) / count);
      },
      &job, unsigned(wanted), 0);
}

template <typename T>
Tensor computed(const Tensor& x, const Tensor& weight, const Maybe& bias, bool wide) {
  auto shape = x.sizes().vec();
  shape.back() = weight.size(0);
  Tensor y = at::empty(shape, x.options());
  Tensor rows = x.contiguous().to(at::kFloat);
  const T* add = bias ? bias->const_data_ptr<T>() : nullptr;
  Work<T> work{rows.const_data_ptr<float>(), weight.const_data_ptr<T>(), add, y.mutable_data_ptr<T>(),
               x.numel() / x.size(-1), x.size(-1), weight.size(0), weight.stride(0)};
  run(work, wide);
  return y;
}

#endif

}  // namespace

Tensor product(const Tensor& x, const Tensor& weight, const Maybe& bias) {
#ifdef RB_FEW_ROWS
  static const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  static const bool narrow = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  auto type = weight.scalar_type();
  bool fits = (wide || narrow) && x.dim() > 0 && weight.dim() == 2 && x.device().is_cpu() && weight.device().is_cpu() && x.scalar_type() == type &&
              x.size(-1) == weight.size(1) && weight.stride(1) == 1 && x.numel() > 0 && x.numel() <= MOST_ROWS * x.size(-1);
  fits = fits && (!bias || (bias->scalar_type() == type && bias->is_contiguous() && bias->numel() == weight.size(0)));
  if (fits && type == at::kFloat) {
    return computed<float>(x, weight, bias, wide);
  }
  if (fits && type == at::kBFloat16) {
    return computed<at::BFloat16>(x, weight, bias, wide);
  }
#endif
  return widened_linear(x, weight, bias);
}
