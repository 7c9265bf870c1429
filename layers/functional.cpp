#include <karyon/layers/functional.h>

namespace karyon {

Tensor Flatten::forward(Tensor x) {
  const int start = normalize_dim(start_dim_, x.dim(), "Flatten"),
            end = normalize_dim(end_dim_, x.dim(), "Flatten");
  check(start <= end, "Flatten: expects start_dim <= end_dim, got ", start_dim_, " and ", end_dim_, " of ",
        x.shape());
  Shape shape;
  std::int64_t joined = 1;
  for (int d = 0; d < x.dim(); ++d) {
    if (d >= start && d <= end) joined *= x.size(d);
    if (d == end) shape.push_back(joined);
    if (d < start || d > end) shape.push_back(x.size(d));
  }
  return x.reshape(shape);
}

}  // namespace karyon
