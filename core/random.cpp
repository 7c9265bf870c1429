#include <numbers>
#include <utility>

#include <karyon/core/autograd.h>
#include <karyon/core/parallel.h>
#include <karyon/core/random.h>

namespace karyon {
namespace {

thread_local Generator* of_this_thread = nullptr;  // by a GeneratorGuard

// Calls fill(words, out) for each group of four elements of a host tensor; out(k, value) sets the
// k-th of them.
template <class F>
void fill_groups(Tensor& x, const char* op, Generator& generator, F fill) {
  check(!x.requires_grad() || !grad_enabled(), op,
        ": would change a tensor that requires a gradient in place; use NoGradGuard or detach()");
  x.before_write();
  const std::int64_t n = x.numel(), groups = (n + 3) / 4;
  const std::uint64_t seed = generator.seed(), first = generator.reserve(static_cast<std::uint64_t>(groups));
  Tensor host = x.device() == Device::cpu() ? x : empty(x.shape(), {.dtype = x.dtype()});
  dispatch_floating(x.dtype(), op, [&]<class T>() {
    T* out = host.data<T>();
    parallel_for(groups, 4096, [&](std::int64_t b, std::int64_t e) {
      for (std::int64_t g = b; g < e; ++g) {
        const std::array<double, 4> values = fill(philox(seed, first + static_cast<std::uint64_t>(g)));
        for (std::int64_t k = 0; k < 4 && 4 * g + k < n; ++k)
          out[4 * g + k] = static_cast<T>(values[static_cast<std::size_t>(k)]);
      }
    });
  });
  if (x.device() != Device::cpu()) x.copy_(host);
}

}  // namespace

std::uint64_t Generator::next() {
  const auto words = philox(seed_, reserve(1));
  return (std::uint64_t{words[1]} << 32) | words[0];
}
double Generator::uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
double Generator::normal() {
  const double u = 1 - uniform(), v = uniform();
  return std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v);
}
std::int64_t Generator::below(std::int64_t n) {
  check(n >= 1, "Generator::below: expects n >= 1, got ", n);
  const auto range = static_cast<std::uint64_t>(n);
  const std::uint64_t usable = UINT64_MAX - UINT64_MAX % range;  // a multiple of n: no bias
  std::uint64_t word = next();
  while (word >= usable) word = next();
  return static_cast<std::int64_t>(word % range);
}

Generator& default_generator() {
  static Generator of_all_threads;
  return of_this_thread ? *of_this_thread : of_all_threads;
}

GeneratorGuard::GeneratorGuard(Generator& generator) : before_(std::exchange(of_this_thread, &generator)) {}
GeneratorGuard::~GeneratorGuard() { of_this_thread = before_; }

void manual_seed(std::uint64_t seed) { default_generator() = Generator(seed); }

Tensor& uniform_(Tensor& x, double low, double high, Generator& generator) {
  fill_groups(x, "uniform_", generator, [&](const std::array<std::uint32_t, 4>& words) {
    std::array<double, 4> out;
    for (std::size_t k = 0; k < 4; ++k)
      out[k] = low + (high - low) * static_cast<double>(to_uniform(words[k]));
    return out;
  });
  return x;
}

Tensor& normal_(Tensor& x, double mean, double std, Generator& generator) {
  fill_groups(x, "normal_", generator, [&](const std::array<std::uint32_t, 4>& words) {
    std::array<double, 4> out;
    for (std::size_t k = 0; k < 4; k += 2) {
      const double u = 1.0 - to_uniform(words[k]), v = to_uniform(words[k + 1]);
      const double radius = std * std::sqrt(-2 * std::log(u)), angle = 2 * std::numbers::pi * v;
      out[k] = mean + radius * std::cos(angle);
      out[k + 1] = mean + radius * std::sin(angle);
    }
    return out;
  });
  return x;
}

Tensor rand(const Shape& shape, Generator& generator, TensorOptions options) {
  Tensor x = empty(shape, options);
  return uniform_(x, 0, 1, generator);
}
Tensor randn(const Shape& shape, Generator& generator, TensorOptions options) {
  Tensor x = empty(shape, options);
  return normal_(x, 0, 1, generator);
}

Tensor randperm(std::int64_t n, Generator& generator) {
  Tensor order = arange(n);
  auto* values = order.data<std::int64_t>();
  for (std::int64_t i = n - 1; i > 0; --i) std::swap(values[i], values[generator.below(i + 1)]);
  return order;
}

}  // namespace karyon
