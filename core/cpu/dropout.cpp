// Dropout. The random words cost more than the memory, so they are drawn for many groups at once.
#include <array>
#include <cmath>

#include <karyon/core/cpu/simd/round.h>
#include <karyon/core/cpu/simd/vectorized.h>
#include <karyon/core/cpu/simd/widened.h>
#include <karyon/core/kernels/dropout.h>
#include <karyon/core/parallel.h>

namespace karyon {
namespace {

constexpr std::int64_t lanes = 32;  // groups drawn at once
using Words = std::array<std::uint32_t, 4 * lanes>;

// The two halves of factor * c, in a loop simple enough to become vector multiplications.
void multiply(std::uint32_t factor, const std::uint32_t* __restrict c, std::uint32_t* __restrict high,
              std::uint32_t* __restrict low) {
  for (std::int64_t l = 0; l < lanes; ++l) {
    const std::uint64_t product = std::uint64_t{factor} * c[l];
    high[l] = static_cast<std::uint32_t>(product >> 32);
    low[l] = static_cast<std::uint32_t>(product);
  }
}

// philox(key, counter), ..., philox(key, counter + lanes - 1), side by side so that they share vectors.
Words philox_lanes(std::uint64_t key, std::uint64_t counter) {
  using Lanes = std::array<std::uint32_t, lanes>;
  Lanes c0, c1, c2{}, c3{}, high0, low0, high1, low1;
  for (std::size_t l = 0; l < lanes; ++l) {
    c0[l] = static_cast<std::uint32_t>(counter + l);
    c1[l] = static_cast<std::uint32_t>((counter + l) >> 32);
  }
  auto k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    multiply(0xD2511F53u, c0.data(), high0.data(), low0.data());
    multiply(0xCD9E8D57u, c2.data(), high1.data(), low1.data());
    for (std::size_t l = 0; l < lanes; ++l) {
      c0[l] = high1[l] ^ c1[l] ^ k0;
      c1[l] = low1[l];
      c2[l] = high0[l] ^ c3[l] ^ k1;
      c3[l] = low0[l];
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  Words words;
  for (std::size_t l = 0; l < lanes; ++l) {
    words[4 * l] = c0[l];
    words[4 * l + 1] = c1[l];
    words[4 * l + 2] = c2[l];
    words[4 * l + 3] = c3[l];
  }
  return words;
}

// y = x scale if the word is at least `least`, else 0. It has no branches: a random mask would be
// mispredicted.
template <class T>
void apply(const Words& words, std::uint32_t least, T scale, const T* __restrict x, T* __restrict y,
           std::int64_t n) {
  for (std::int64_t k = 0; k < n; ++k) {
    const T kept = x[k] * scale;
    const auto word = static_cast<std::int32_t>(words[static_cast<std::size_t>(k)] >> 8);
    y[k] = word >= static_cast<std::int32_t>(least) ? kept : T(0);
  }
}

template <class T>
void dropout_typed(const T* x, double p, std::uint64_t seed, std::uint64_t first, T* y, std::int64_t n) {
  // to_uniform(word) >= p, in integers: its 24 bits are a whole number of 2^-24.
  const auto least = static_cast<std::uint32_t>(std::ceil(p * 0x1p24));
  const T scale = p < 1 ? static_cast<T>(1 / (1 - p)) : T(0);
  constexpr std::int64_t batch = 4 * lanes;
  parallel_for(cpu::ceil_div(n, batch), 256, [&](std::int64_t b, std::int64_t e) {
    cpu::vectorized([=] {
      for (std::int64_t i = b; i < e; ++i) {
        const Words words = philox_lanes(seed, first + static_cast<std::uint64_t>(i * lanes));
        apply(words, least, scale, x + i * batch, y + i * batch, std::min(batch, n - i * batch));
      }
    });
  });
}

void dropout_cpu(const Tensor& x, double p, std::uint64_t seed, std::uint64_t first, Tensor& y) {
  dispatch_floating(x.dtype(), "dropout",
                    [&]<class T>() { dropout_typed(x.data<T>(), p, seed, first, y.data<T>(), x.numel()); });
}

}  // namespace

constinit decltype(kernels::dropout) kernels::dropout{"dropout", cpu::widened<dropout_cpu>};

}  // namespace karyon
