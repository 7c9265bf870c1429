#pragma once
#include <array>
#include <atomic>
#include <cstdint>

#include <karyon/core/tensor.h>

namespace karyon {

/// Four random words for a 128-bit counter and a 64-bit key: Philox4x32-10 (Salmon et al., "Parallel random
/// numbers: as easy as 1, 2, 3", SC 2011). It is a pure function: element i of a tensor gets the same number
/// in any thread, device or order.
constexpr std::array<std::uint32_t, 4> philox(std::uint64_t key, std::uint64_t counter,
                                              std::uint64_t stream = 0) {
  auto k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  std::array<std::uint32_t, 4> c{
      static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32),
      static_cast<std::uint32_t>(stream), static_cast<std::uint32_t>(stream >> 32)};
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c[0], p1 = std::uint64_t{0xCD9E8D57u} * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

/// Uniform in [0, 1) from one random word: its upper 24 bits.
constexpr float to_uniform(std::uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }

/// A stream of random numbers: a seed and a position, both plain values that can be saved and restored.
/// Several threads may draw from it at once: each gets other numbers, and chance decides who gets which. For
/// the same numbers in each run, give each thread a generator of its own. Assigning to a generator is not
/// safe while another thread draws from it.
class Generator {
 public:
  explicit Generator(std::uint64_t seed = 0, std::uint64_t position = 0) : seed_(seed), position_(position) {}
  Generator(const Generator& other) : seed_(other.seed()), position_(other.position()) {}
  Generator& operator=(const Generator& other) {
    seed_ = other.seed();
    position_.store(other.position(), std::memory_order_relaxed);
    return *this;
  }

  std::uint64_t seed() const { return seed_; }
  /// Groups of four words used so far.
  std::uint64_t position() const { return position_.load(std::memory_order_relaxed); }
  /// Takes `groups` groups of four words; returns the position of the first.
  std::uint64_t reserve(std::uint64_t groups) {
    return position_.fetch_add(groups, std::memory_order_relaxed);
  }

  /// One random word, 64 bits wide.
  std::uint64_t next();
  /// Uniform in [0, 1), 53 bits.
  double uniform();
  /// Uniform in [low, high).
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// Standard normal.
  double normal();
  /// Uniform in 0, ..., n - 1. Throws Error if n < 1.
  std::int64_t below(std::int64_t n);

 private:
  std::uint64_t seed_;
  std::atomic<std::uint64_t> position_;
};

/// The generator used where none is given: one for all threads, or that of this thread's GeneratorGuard.
/// Seed 0 until manual_seed(). To continue from a saved position: default_generator() = Generator(seed,
/// position).
Generator& default_generator();
/// Starts default_generator() again, from `seed`.
void manual_seed(std::uint64_t seed);
/// `generator`, or default_generator() if it is null.
inline Generator& generator_or_default(Generator* generator) {
  return generator ? *generator : default_generator();
}

/// Makes `generator` this thread's default_generator() while the guard lives. Threads that build or train
/// networks at once can so draw the same numbers in each run.
class GeneratorGuard {
 public:
  explicit GeneratorGuard(Generator& generator);
  ~GeneratorGuard();
  GeneratorGuard(const GeneratorGuard&) = delete;
  GeneratorGuard& operator=(const GeneratorGuard&) = delete;

 private:
  Generator* before_;
};

/// Uniform in [0, 1). f32 or f64; f64 has 24 random bits too.
Tensor rand(const Shape& shape, Generator& generator = default_generator(), TensorOptions options = {});
inline Tensor rand(const Shape& shape, TensorOptions options) {
  return rand(shape, default_generator(), options);
}
/// Standard normal (Box-Muller). f32 or f64.
Tensor randn(const Shape& shape, Generator& generator = default_generator(), TensorOptions options = {});
inline Tensor randn(const Shape& shape, TensorOptions options) {
  return randn(shape, default_generator(), options);
}
/// A random order of 0, ..., n - 1, as i64 [n].
Tensor randperm(std::int64_t n, Generator& generator = default_generator());
/// In place: uniform in [low, high); rounding to x's type may give `high` itself.
Tensor& uniform_(Tensor& x, double low, double high, Generator& generator = default_generator());
/// In place: normal with the given mean and standard deviation.
Tensor& normal_(Tensor& x, double mean, double std, Generator& generator = default_generator());

}  // namespace karyon
