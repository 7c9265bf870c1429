// Losses of regions: the overlap of probabilities and truth, and the order of errors.
#include <algorithm>
#include <bit>

#include <karyon/core/cpu/loss_terms.h>
#include <karyon/core/kernels/functors/loss.h>

namespace karyon {
namespace {

using cpu::ImageRows;
using functors::Tversky;

// The truth of pixel `row` and channel c: given, or made of class indices. Nothing is true of an ignored
// pixel.
template <class T>
struct Truth {
  const T* values;
  const std::int64_t* classes;
  std::int64_t ignore_index, channels;

  Truth(const Tensor& target, std::int64_t ignore, std::int64_t c)
      : values(target.dtype() == i64 ? nullptr : target.data<T>()),
        classes(target.dtype() == i64 ? target.data<std::int64_t>() : nullptr),
        ignore_index(ignore),
        channels(c) {}
  bool ignored(std::int64_t row) const { return classes && classes[row] == ignore_index; }
  T at(std::int64_t row, std::int64_t c) const {
    return classes ? static_cast<T>(classes[row] == c) : values[row * channels + c];
  }
};

void tversky_cpu(const Tensor& p, const Tensor& target, std::int64_t ignore_index, double alpha, double beta,
                 double smooth, Tensor& out, Tensor& fractions) {
  dispatch_floating(p.dtype(), "tversky_loss", [&]<class T>() {
    const ImageRows l(p);
    const Truth<T> truth(target, ignore_index, l.c);
    const Tversky f{alpha, beta};
    const T* x = p.data<T>();
    std::vector<double> partial(static_cast<std::size_t>(l.images * l.chunks * l.c * 2));
    l.for_chunks([&](std::int64_t, std::int64_t index, std::int64_t begin, std::int64_t end) {
      double* to = partial.data() + index * l.c * 2;
      for (std::int64_t row = begin / l.c; row < end / l.c; ++row) {
        if (truth.ignored(row)) continue;
        for (std::int64_t k = 0; k < l.c; ++k) {
          const auto v = static_cast<double>(x[row * l.c + k]), t = static_cast<double>(truth.at(row, k));
          to[2 * k] += v * t;
          to[2 * k + 1] += f.below(v, t);
        }
      }
    });
    *out.data<T>() = static_cast<T>(mean_miss(l, partial, smooth, fractions.data<double>()));
  });
}

void tversky_backward_cpu(const Tensor& dy, const Tensor& p, const Tensor& target, std::int64_t ignore_index,
                          double alpha, double beta, const Tensor& fractions, Tensor& dx) {
  dispatch_floating(p.dtype(), "tversky_loss", [&]<class T>() {
    const ImageRows l(p);
    const Truth<T> truth(target, ignore_index, l.c);
    const Tversky f{alpha, beta};
    const double upstream = static_cast<double>(*dy.data<T>()) / static_cast<double>(l.images * l.c);
    T* to = dx.data<T>();
    l.for_chunks([&](std::int64_t image, std::int64_t, std::int64_t begin, std::int64_t end) {
      const double* sums = fractions.data<double>() + image * l.c * 2;
      for (std::int64_t row = begin / l.c; row < end / l.c; ++row)
        for (std::int64_t k = 0; k < l.c; ++k) {
          const double slope = f.slope(static_cast<double>(truth.at(row, k)), sums[2 * k], sums[2 * k + 1]);
          to[row * l.c + k] = truth.ignored(row) ? T(0) : static_cast<T>(-upstream * slope);
        }
    });
  });
}

struct Ranked {
  std::uint64_t key;
  std::int64_t index;
  bool operator<(const Ranked& other) const {
    return key != other.key ? key < other.key : index < other.index;
  }
};
// Larger values have smaller keys; NaN has its place, too.
std::uint64_t descending(double x) {
  const auto bits = std::bit_cast<std::uint64_t>(x);
  return bits >> 63 ? bits : ~bits & ~(std::uint64_t{1} << 63);
}

void lovasz_weights_cpu(const Tensor& errors, const Tensor& truth, Tensor& weights) {
  const std::int64_t segments = errors.size(0), n = errors.size(1);
  dispatch_floating(errors.dtype(), "lovasz_weights", [&]<class T>() {
    parallel_for(segments, 1, [&](std::int64_t begin, std::int64_t end) {
      std::vector<Ranked> order(static_cast<std::size_t>(n));
      for (std::int64_t s = begin; s < end; ++s) {
        const T* e = errors.data<T>() + s * n;
        const bool* t = truth.data<bool>() + s * n;
        T* w = weights.data<T>() + s * n;
        for (std::int64_t i = 0; i < n; ++i)
          order[static_cast<std::size_t>(i)] = {descending(static_cast<double>(e[i])), i};
        std::sort(order.begin(), order.end());
        const std::int64_t positives = std::count(t, t + n, true);
        std::int64_t seen = 0;
        for (std::int64_t rank = 0; rank < n; ++rank) {
          const std::int64_t i = order[static_cast<std::size_t>(rank)].index;
          seen += t[i];
          w[i] = static_cast<T>(functors::jaccard_step(t[i], positives, rank, seen));
        }
      }
    });
  });
}

}  // namespace

constinit decltype(kernels::tversky_loss) kernels::tversky_loss{"tversky_loss", tversky_cpu};
constinit decltype(kernels::tversky_loss_backward) kernels::tversky_loss_backward{"tversky_loss_backward",
                                                                                  tversky_backward_cpu};
constinit decltype(kernels::lovasz_weights) kernels::lovasz_weights{"lovasz_weights", lovasz_weights_cpu};

}  // namespace karyon
