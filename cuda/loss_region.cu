// Losses of regions: the overlap of probabilities and truth, and the order of errors.
#include <bit>

#include <karyon/core/kernels/functors/loss.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/loss_terms.cuh>

namespace karyon::cuda {
namespace {

using functors::Tversky;

// The truth of element i of [..., C]: given, or made of class indices. Nothing is true of an ignored pixel.
struct Truth {
  const float* values;
  const std::int64_t* classes;
  std::int64_t ignore_index, channels;

  Truth(const Tensor& target, std::int64_t ignore, std::int64_t c)
      : values(target.dtype() == i64 ? nullptr : target.data<float>()),
        classes(target.dtype() == i64 ? target.data<std::int64_t>() : nullptr),
        ignore_index(ignore),
        channels(c) {}
  __device__ float at(std::int64_t i, bool& ignored) const {
    ignored = false;
    if (!classes) return values[i];
    std::int64_t k;
    const std::int64_t truth = classes[divide(i, channels, k)];
    ignored = truth == ignore_index;
    return truth == k ? 1.0f : 0.0f;
  }
};

struct LoadOverlap {
  const float* p;
  Truth truth;
  Tversky f;
  __device__ Fraction operator()(std::int64_t i) const {
    bool ignored;
    const double t = truth.at(i, ignored), v = p[i];
    if (ignored) return {0, 0};
    return {v * t, f.below(v, t)};
  }
};

void tversky(const Tensor& p, const Tensor& target, std::int64_t ignore_index, double alpha, double beta,
             double smooth, Tensor& out, Tensor& fractions) {
  check_f32("tversky_loss", p);
  const std::int64_t images = p.size(0), c = p.size(-1);
  auto* parts = reinterpret_cast<Fraction*>(fractions.data<double>());
  reduce<FractionSum>(images, rows_of(p), c,
                      LoadOverlap{p.data<float>(), Truth(target, ignore_index, c), Tversky{alpha, beta}},
                      StoreFraction{parts, smooth});
  reduce<Sum>(1, images * c, 1, LoadMiss{parts},
              StoreLoss{out.data<float>(), static_cast<double>(images * c)});
}

struct OverlapSlope {
  Truth truth;
  Tversky f;
  const float* dy;
  const Fraction* fractions;
  std::int64_t c, image_size;
  double count;
  float* dx;
  __device__ void operator()(std::int64_t i) const {
    std::int64_t in_image, k;
    const std::int64_t image = divide(i, image_size, in_image);
    divide(in_image, c, k);
    const auto [above, below] = fractions[image * c + k];
    bool ignored;
    const double t = truth.at(i, ignored);
    dx[i] =
        ignored ? 0.0f : static_cast<float>(-(static_cast<double>(*dy) / count) * f.slope(t, above, below));
  }
};
void tversky_backward(const Tensor& dy, const Tensor& p, const Tensor& target, std::int64_t ignore_index,
                      double alpha, double beta, const Tensor& fractions, Tensor& dx) {
  check_f32("tversky_loss", p);
  const std::int64_t images = p.size(0), c = p.size(-1);
  for_each(p.numel(), OverlapSlope{Truth(target, ignore_index, c), Tversky{alpha, beta}, dy.data<float>(),
                                   reinterpret_cast<const Fraction*>(fractions.data<double>()), c,
                                   rows_of(p) * c, static_cast<double>(images * c), dx.data<float>()});
}

// ---- the order of errors ----

// A row has a power of two of keys: the error, turned around so that larger ones come first, above its index.
// The rest of the row comes last.
using Key = unsigned long long;

struct MakeKey {
  const float* errors;
  Key* keys;
  std::int64_t n, padded;
  __device__ void operator()(std::int64_t at) const {
    const std::int64_t row = at / padded, i = at % padded;
    if (i >= n) {
      keys[at] = ~Key{0};
      return;
    }
    const auto bits = std::bit_cast<std::uint32_t>(errors[row * n + i]);
    const std::uint32_t falling = bits >> 31 ? bits : ~bits & 0x7fffffffu;
    keys[at] = Key{falling} << 32 | static_cast<std::uint32_t>(i);
  }
};

// A step of a bitonic sort (Batcher, 1968): pairs at a distance, sorted runs of `run` keys in turn up and
// down.
struct SortStep {
  Key* keys;
  std::int64_t run, distance, padded;
  __device__ void operator()(std::int64_t pair) const {
    const std::int64_t low = (pair / distance) * 2 * distance + pair % distance, high = low + distance;
    const Key a = keys[low], b = keys[high];
    const bool up = ((low & (padded - 1)) & run) == 0;
    if ((a > b) == up) {
      keys[low] = b;
      keys[high] = a;
    }
  }
};

// A block for each row: how many of the truths have this rank or a lower one, and the weight that follows.
__global__ void __launch_bounds__(loss_threads)
    rank_kernel(std::int64_t n, std::int64_t padded, const Key* keys, const std::uint8_t* truth,
                float* weights) {
  __shared__ int sums[loss_threads];
  keys += blockIdx.x * padded;
  truth += blockIdx.x * n;
  weights += blockIdx.x * n;
  const int me = static_cast<int>(threadIdx.x);

  // In every thread the sum up to it.
  const auto scan = [&](int value) {
    __syncthreads();
    sums[me] = value;
    __syncthreads();
#pragma unroll 1
    for (int step = 1; step < loss_threads; step *= 2) {
      const int before = me >= step ? sums[me - step] : 0;
      __syncthreads();
      sums[me] = value += before;
      __syncthreads();
    }
    return value;
  };

  int mine = 0;
  for (std::int64_t i = me; i < n; i += loss_threads) mine += truth[i];
  scan(mine);
  const std::int64_t positives = sums[loss_threads - 1];
  std::int64_t before = 0;
  for (std::int64_t first = 0; first < n; first += loss_threads) {
    const std::int64_t rank = first + me;
    const std::int64_t i = rank < n ? static_cast<std::int64_t>(keys[rank] & 0xffffffffu) : 0;
    const bool hit = rank < n && truth[i] != 0;
    const std::int64_t seen = before + scan(hit ? 1 : 0);
    if (rank < n) weights[i] = static_cast<float>(functors::jaccard_step(hit, positives, rank, seen));
    before += sums[loss_threads - 1];
  }
}

void lovasz_weights(const Tensor& errors, const Tensor& truth, Tensor& weights) {
  check_f32("lovasz_weights", errors);
  const std::int64_t rows = errors.size(0), n = errors.size(1);
  if (errors.numel() == 0) return;
  check(n < (std::int64_t{1} << 31), "lovasz_weights: ", n, " errors are more than one sort takes");
  const auto padded = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(n)));
  Workspace scratch(static_cast<std::size_t>(rows * padded) * sizeof(Key));
  Key* keys = scratch.data<Key>();
  for_each(rows * padded, MakeKey{errors.data<float>(), keys, n, padded});
  for (std::int64_t run = 2; run <= padded; run *= 2)
    for (std::int64_t distance = run / 2; distance > 0; distance /= 2)
      for_each(rows * padded / 2, SortStep{keys, run, distance, padded});
  launch(rank_kernel, grid_for(rows, 1), loss_threads, 0, n, padded, keys,
         static_cast<const std::uint8_t*>(truth.data_ptr()), weights.data<float>());
}

}  // namespace

void register_loss_region_kernels(KernelTable& table) {
  table.add<decltype(kernels::tversky_loss), tversky>("tversky_loss");
  table.add<decltype(kernels::tversky_loss_backward), tversky_backward>("tversky_loss_backward");
  table.add<decltype(kernels::lovasz_weights), lovasz_weights>("lovasz_weights");
}

}  // namespace karyon::cuda
