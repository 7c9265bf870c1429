#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/pixel_shuffle.h>
#include <karyon/core/trace.h>

namespace karyon {

Tensor pixel_shuffle(const Tensor& x, std::int64_t factor) {
  const char* const op = "pixel_shuffle";
  check(x.dim() == 4, op, ": expects images [N, H, W, C], got ", x.shape());
  check(factor >= 1, op, ": expects a factor of 1 or more, got ", factor);
  const std::int64_t n = x.size(0), h = x.size(1), w = x.size(2), f = factor;
  const std::int64_t square = checked_mul(f, f, op);
  check(x.size(3) % square == 0, op, ": expects channels divisible by ", square, ", got ", x.shape());
  const std::int64_t c = x.size(3) / square;
  return traced_whole(
      op, {x},
      [&] {
        return permute(x.reshape({n, h, w, c, f, f}), {0, 1, 4, 2, 5, 3})
            .reshape({n, checked_mul(h, f, op), checked_mul(w, f, op), c});
      },
      [&] {
        return TraceOptions{{"upscale_factor", f}};
      });
}

Tensor pixel_unshuffle(const Tensor& x, std::int64_t factor) {
  const char* const op = "pixel_unshuffle";
  check(x.dim() == 4, op, ": expects images [N, H, W, C], got ", x.shape());
  check(factor >= 1, op, ": expects a factor of 1 or more, got ", factor);
  const std::int64_t n = x.size(0), c = x.size(3), f = factor;
  check(x.size(1) % f == 0 && x.size(2) % f == 0, op, ": expects a height and width divisible by ", f,
        ", got ", x.shape());
  const std::int64_t h = x.size(1) / f, w = x.size(2) / f;
  return permute(x.reshape({n, h, f, w, f, c}), {0, 1, 3, 5, 2, 4})
      .reshape({n, h, w, checked_mul(c, checked_mul(f, f, op), op)});
}

Tensor channel_shuffle(const Tensor& x, std::int64_t groups) {
  check(x.dim() >= 3, "channel_shuffle: expects [N, ..., C] with at least 3 dimensions, got ", x.shape());
  const std::int64_t c = x.size(-1);
  check(groups >= 1 && c % groups == 0, "channel_shuffle: expects channels divisible by ", groups,
        " groups, got ", x.shape());
  const std::int64_t pixels = c == 0 ? 0 : x.numel() / c;
  return traced_whole(
      "channel_shuffle", {x},
      [&] {
        return permute(x.reshape({pixels, groups, c / groups}), {0, 2, 1}).reshape(x.shape());
      },
      [&] {
        return TraceOptions{{"groups", groups}};
      });
}

}  // namespace karyon
