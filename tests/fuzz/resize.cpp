// interpolate() to any size against plain loops.
#include <karyon/core/ops/resize.h>

#include "tensors.h"

namespace {

using namespace fuzz;
using karyon::Pair;

/// Where result `out` of `size` looks in an input of `from`, between 0 and from - 1.
double source(std::int64_t out, std::int64_t from, std::int64_t size, bool align_corners) {
  const auto at = static_cast<double>(out), n = static_cast<double>(from), m = static_cast<double>(size);
  const double place = align_corners ? (size == 1 ? 0 : at * (n - 1) / (m - 1)) : (at + 0.5) * n / m - 0.5;
  return std::clamp(place, 0.0, n - 1);
}

/// The same without blending; PyTorch computes it in single precision.
std::int64_t nearest(std::int64_t out, std::int64_t from, std::int64_t size) {
  const float scale = static_cast<float>(from) / static_cast<float>(size);
  return std::min(static_cast<std::int64_t>(std::floor(static_cast<float>(out) * scale)), from - 1);
}

void run(Bytes input) {
  ByteReader in(input);
  const DType dtype = in.one_of(floating);
  const bool bilinear = in.flag(), align_corners = in.flag();
  const Shape shape{in.between(0, 2), in.between(0, 9), in.between(0, 9), in.between(0, 34)};
  const Pair size{any_size(in, 1, 19), any_size(in, 1, 19)};
  if (!can_ask_for(std::abs(product({shape[0], size.h, size.w, shape[3]})))) return;
  const Op op = [&](const Tensors& t) {
    return karyon::interpolate(
        t[0], size,
        {.mode = bilinear ? karyon::InterpolateMode::bilinear : karyon::InterpolateMode::nearest,
         .align_corners = align_corners});
  };
  const Tensor x = noise(shape, dtype, in.byte());
  Tensor y;
  if (!succeeds<karyon::Error>([&] { y = op({x}); })) return;
  const Values values(x);
  const Shape result{shape[0], size.h, size.w, shape[3]};
  std::vector<double> want;
  for_each_place(result, [&](const std::vector<std::int64_t>& at) {
    if (!bilinear) {
      want.push_back(
          values.at({at[0], nearest(at[1], shape[1], size.h), nearest(at[2], shape[2], size.w), at[3]}));
      return;
    }
    const double h = source(at[1], shape[1], size.h, align_corners),
                 w = source(at[2], shape[2], size.w, align_corners);
    const auto top = static_cast<std::int64_t>(h), left = static_cast<std::int64_t>(w);
    const std::int64_t bottom = std::min(top + 1, shape[1] - 1), right = std::min(left + 1, shape[2] - 1);
    const double down = h - static_cast<double>(top), across = w - static_cast<double>(left);
    want.push_back((1 - down) * ((1 - across) * values.at({at[0], top, left, at[3]}) +
                                 across * values.at({at[0], top, right, at[3]})) +
                   down * ((1 - across) * values.at({at[0], bottom, left, at[3]}) +
                           across * values.at({at[0], bottom, right, at[3]})));
  });
  expect_close("interpolate", y, result, want, rounding(dtype));
  if (dtype == karyon::f64) check_gradient("interpolate", op, {x});
}

Inputs seeds() { return noise_seeds(48, 24); }

const Register target{{"resize", run, seeds}};

}  // namespace
