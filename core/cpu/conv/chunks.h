#pragma once
#include <cstdint>

#include <karyon/core/cpu/simd/vectorized.h>
#include <karyon/core/parallel.h>
#include <karyon/core/tensor.h>

// Private to core/cpu/conv: work and sums in chunks.
namespace karyon::cpu {

/// [begin, end) of the i-th of `shares` equal shares of n.
struct Share {
  std::int64_t begin, end;
  Share(std::int64_t i, std::int64_t shares, std::int64_t n)
      : begin(i * n / shares), end((i + 1) * n / shares) {}
  std::int64_t size() const { return end - begin; }
};

/// Calls f(group) for each group of channels. Where groups are many, threads share them out, and f works
/// alone.
template <class F>
void for_groups(std::int64_t groups, F f) {
  if (groups < 2 * num_threads()) {
    for (std::int64_t group = 0; group < groups; ++group) f(group);
    return;
  }
  parallel_for(groups, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t group = begin; group < end; ++group) f(group);
  });
}

/// Some of the sums: `count` of them from `first` on.
struct SumRange {
  std::int64_t first, count;
};

/// Sums over pixels, where threads share out the pixels: fill(chunk, sums) writes the `size` sums of one
/// chunk. The sums of all chunks are then added up in the order of the chunks. The result has the same bits
/// with any number of threads. The i-th of `ranges` tasks adds up range(i) and hands it to finish(i, sums).
template <class Fill, class Range, class Finish>
void sum_in_chunks(std::int64_t chunks, std::int64_t size, std::int64_t ranges, Fill fill, Range range,
                   Finish finish) {
  Tensor all = empty({chunks * size});
  float* const sums = all.data<float>();
  parallel_for(chunks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t chunk = begin; chunk < end; ++chunk) fill(chunk, sums + chunk * size);
  });
  parallel_for(ranges, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const SumRange part = range(i);
      float* const total = sums + part.first;
      for (std::int64_t chunk = 1; chunk < chunks; ++chunk)
        vectorized([total, more = total + chunk * size, count = part.count] {
          for (std::int64_t at = 0; at < count; ++at) total[at] += more[at];
        });
      finish(i, total);
    }
  });
}

}  // namespace karyon::cpu
