#include <algorithm>
#include <numeric>

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/gather.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/scan.h>
#include <karyon/core/ops/shape.h>
#include <karyon/core/ops/sort.h>
#include <karyon/models/onnx/call.h>
#include <karyon/models/onnx/layout.h>

// Elements by their indices.
namespace karyon::onnx {
namespace {

/// Indices below 0 count from the end.
Tensor counted(const Tensor& indices, std::int64_t size) {
  return where(lt(indices, 0.0), add(indices, static_cast<double>(size)), indices);
}

Values gather_(const Call& call) {
  const Tensor x = call.x(0), indices = call.x(1);
  const int axis = normalize_dim(call.axis("axis", 0), x.dim(), "onnx");
  const Tensor flat = counted(indices, x.size(axis)).reshape({-1});
  Shape shape;
  for (int d = 0; d < axis; ++d) shape.push_back(x.size(d));
  for (const std::int64_t size : indices.shape()) shape.push_back(size);
  for (int d = axis + 1; d < x.dim(); ++d) shape.push_back(x.size(d));
  return {index_select(x, axis, flat.to(x.device())).reshape(shape)};
}
Values gather_elements(const Call& call) {
  const Tensor x = call.x(0);
  const int axis = normalize_dim(call.axis("axis", 0), x.dim(), "onnx");
  return {gather(x, axis, counted(call.x(1), x.size(axis)).to(x.device()))};
}

/// For GatherND and ScatterND: the numbers of the slices that index tuples name, of x as [slices, rest].
struct Slices {
  std::vector<std::int64_t> numbers;
  std::int64_t count = 1, rest = 1;

  Slices(const Shape& shape, const Tensor& indices, int batch_dims) {
    check(indices.dim() >= 1 && batch_dims >= 0 && batch_dims < indices.dim(), "indices of ",
          indices.shape());
    const auto depth = static_cast<int>(indices.size(-1));
    check(batch_dims + depth <= shape.dims(), "indices of ", indices.shape(), " for ", shape);
    std::int64_t batches = 1;
    for (int d = 0; d < batch_dims; ++d) {
      check(shape[d] == indices.size(d), "indices of ", indices.shape(), " for ", shape);
      batches *= shape[d];
    }
    count = batches;
    for (int d = 0; d < depth; ++d) count *= shape[batch_dims + d];
    for (int d = batch_dims + depth; d < shape.dims(); ++d) rest *= shape[d];
    const std::vector<std::int64_t> all = indices.to_vector<std::int64_t>();
    const std::int64_t tuples = std::accumulate(indices.shape().begin(), indices.shape().end() - 1,
                                                std::int64_t{1}, std::multiplies<>());
    for (std::int64_t t = 0; t < tuples; ++t) {
      std::int64_t number = batches == 0 ? 0 : t / std::max<std::int64_t>(tuples / batches, 1);
      for (int d = 0; d < depth; ++d) {
        const std::int64_t size = shape[batch_dims + d];
        std::int64_t i = all[static_cast<std::size_t>(t * depth + d)];
        check(i >= -size && i < size, "index ", i, " is beyond a size of ", size);
        number = number * size + (i < 0 ? i + size : i);
      }
      numbers.push_back(number);
    }
  }
};

Values gather_nd(const Call& call) {
  const Tensor x = call.x(0), indices = call.x(1);
  const int batch_dims = call.axis("batch_dims", 0);
  const Slices slices(x.shape(), indices, batch_dims);
  Shape shape;
  for (int d = 0; d < indices.dim() - 1; ++d) shape.push_back(indices.size(d));
  for (int d = batch_dims + static_cast<int>(indices.size(-1)); d < x.dim(); ++d) shape.push_back(x.size(d));
  return {selected(x.reshape({slices.count, slices.rest}), 0, slices.numbers).reshape(shape)};
}

/// x with src at places along dim: replaced, added, or combined by a function of two numbers, in order.
Tensor scattered(const Tensor& x, int dim, const Tensor& index, const Tensor& src, const std::string& how) {
  if (how == "none") return scatter(x, dim, index, src);
  if (how == "add" && x.dtype() != boolean) return scatter_add(x, dim, index, src);
  const bool times = how == "mul", most = how == "max";
  check(times || most || how == "min", "a reduction by '", how, "'");
  std::vector<double> values = x.to_vector<double>();
  const std::vector<double> from = src.to_vector<double>();
  const std::vector<std::int64_t> places = index.to_vector<std::int64_t>();
  const Shape& shape = index.shape();
  for (std::size_t i = 0; i < places.size(); ++i) {
    std::int64_t left = static_cast<std::int64_t>(i), at = 0, stride = 1;
    std::int64_t of_src = 0, src_stride = 1;
    for (int d = shape.dims() - 1; d >= 0; --d) {
      const std::int64_t k = left % shape[d];
      left /= shape[d];
      at += stride * (d == dim ? places[i] : k);
      of_src += src_stride * k;
      stride *= x.size(d);
      src_stride *= src.size(d);
    }
    check(places[i] >= 0 && places[i] < x.size(dim), "index ", places[i], " is beyond ", x.shape());
    double& to = values[static_cast<std::size_t>(at)];
    const double v = from[static_cast<std::size_t>(of_src)];
    to = times ? to * v : most ? std::max(to, v) : std::min(to, v);
  }
  return tensor(values, x.shape(), {.dtype = x.dtype(), .device = x.device()});
}

Values scatter_elements(const Call& call) {
  const Tensor x = call.x(0);
  const int axis = normalize_dim(call.axis("axis", 0), x.dim(), "onnx");
  const Tensor index = counted(call.x(1), x.size(axis)).to(x.device());
  return {scattered(x, axis, index, call.x(2), call.node.text_of("reduction", "none"))};
}
Values scatter_nd(const Call& call) {
  const Tensor x = call.x(0);
  const Slices slices(x.shape(), call.x(1), 0);
  const auto rows = static_cast<std::int64_t>(slices.numbers.size());
  const Tensor index = expand(tensor(slices.numbers, {rows, 1}), {rows, slices.rest}).clone().to(x.device());
  const Tensor y = scattered(x.reshape({slices.count, slices.rest}), 0, index,
                             call.x(2).reshape({rows, slices.rest}), call.node.text_of("reduction", "none"));
  return {y.reshape(x.shape())};
}

/// A cache of keys or values: new rows at each sequence's own place.
Values tensor_scatter(const Call& call) {
  const Tensor x = call.x(0), update = call.x(1);
  const int axis = normalize_dim(call.axis("axis", -2), x.dim(), "onnx");
  check(axis > 0 && update.dim() == x.dim(), "updates of ", update.shape(), " for ", x.shape());
  const std::int64_t batches = x.size(0), length = update.size(axis), size = x.size(axis);
  const std::vector<std::int64_t> starts =
      call.has(2) ? call.numbers(2) : std::vector<std::int64_t>(static_cast<std::size_t>(batches), 0);
  check(static_cast<std::int64_t>(starts.size()) == batches, "expects a place for each of ", batches);
  const bool circular = call.node.text_of("mode", "linear") == "circular";
  std::vector<std::int64_t> places;
  for (const std::int64_t start : starts)
    for (std::int64_t i = 0; i < length; ++i) places.push_back(circular ? (start + i) % size : start + i);
  Shape shape;
  for (int d = 0; d < x.dim(); ++d) shape.push_back(d == 0 ? batches : d == axis ? length : 1);
  return {scatter(x, axis, expand(tensor(places, shape), update.shape()).clone(), update)};
}

Values non_zero(const Call& call) { return {Value(transpose(nonzero(call.x(0)), 0, 1), int64)}; }

Values top_k(const Call& call) {
  const Tensor x = call.x(0);
  const std::int64_t k = call.has(1) ? call.numbers(1).at(0) : call.node.integer("k", 1);
  auto [values, indices] = topk(x, k, call.axis("axis", -1), call.node.integer("largest", 1) != 0);
  return {Value(values), Value(indices, int64)};
}

/// How many are behind an element, instead of before it, and whether it counts itself.
template <Tensor (*f)(const Tensor&, int)>
Values running(const Call& call, double first) {
  Tensor x = call.x(0);
  const int axis = normalize_dim(static_cast<int>(call.number(1, 0)), x.dim(), "onnx");
  const bool reversed = call.node.integer("reverse", 0) != 0;
  if (reversed) x = flip(x, {axis});
  if (call.node.integer("exclusive", 0) != 0 && x.size(axis) > 0)
    x = padded(narrow(x, axis, 0, x.size(axis) - 1), axis, 1, 0, "constant", first);
  Tensor y = f(x, axis);
  return {reversed ? flip(y, {axis}) : y};
}
Values cum_sum(const Call& call) { return running<cumsum>(call, 0); }
Values cum_prod(const Call& call) { return running<cumprod>(call, 1); }

Values one_hot(const Call& call) {
  const Tensor indices = call.x(0), ends = call.x(2);
  const auto depth = static_cast<std::int64_t>(call.number(1, 0));
  check(depth >= 0 && ends.numel() == 2, "expects a depth and two values");
  const int axis = normalize_dim(call.axis("axis", -1), indices.dim() + 1, "onnx");
  const Tensor whole = is_floating(indices.dtype()) ? indices.to(i64) : indices;
  const Tensor places = unsqueeze(counted(whole, depth), axis);
  Shape shape;
  for (int d = 0; d <= indices.dim(); ++d) shape.push_back(d == axis ? depth : 1);
  const Tensor hot = eq(places, tensor(arange(depth).to_vector<std::int64_t>(), shape));
  const Tensor off = select(ends.reshape({2}), 0, 0), on = select(ends.reshape({2}), 0, 1);
  return {Value(where(hot, on, off), call.type(2))};
}

Values compress(const Call& call) {
  const Tensor x = call.node.has("axis") ? call.x(0) : call.x(0).reshape({-1});
  const int axis = normalize_dim(call.axis("axis", 0), x.dim(), "onnx");
  std::vector<std::int64_t> kept;
  const std::vector<std::int64_t> flags = call.x(1).to_vector<std::int64_t>();
  for (std::size_t i = 0; i < flags.size(); ++i)
    if (flags[i] != 0) kept.push_back(static_cast<std::int64_t>(i));
  return {selected(x, axis, kept)};
}

Values feature_extractor(const Call& call) {
  const Tensor x = call.x(0);
  const Tensor y = index_select(x.dim() == 1 ? unsqueeze(x, 0) : x, -1, call.x(1).reshape({-1}));
  return {y};
}

/// Slices along an axis, or elements, without repetition.
Values unique_(const Call& call) {
  const Tensor x = call.node.has("axis") ? call.x(0) : call.x(0).reshape({-1});
  const int axis = normalize_dim(call.axis("axis", 0), x.dim(), "onnx");
  const Tensor rows = movedim(x, axis, 0);
  const auto count = static_cast<std::size_t>(rows.size(0));
  const std::vector<double> values = rows.to_vector<double>();
  const std::size_t width = count == 0 ? 0 : values.size() / count;
  const auto begin = [&](std::size_t i) { return values.begin() + static_cast<std::ptrdiff_t>(i * width); };
  const auto less = [&](std::size_t a, std::size_t b) {
    return std::lexicographical_compare(begin(a), begin(a + 1), begin(b), begin(b + 1));
  };
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), less);
  std::vector<std::size_t> first_of;  // of each group of equals
  std::vector<std::int64_t> group(count), counts;
  for (std::size_t i = 0; i < count; ++i) {
    if (i == 0 || less(order[i - 1], order[i])) {
      first_of.push_back(order[i]);
      counts.push_back(0);
    }
    group[order[i]] = static_cast<std::int64_t>(first_of.size()) - 1;
    ++counts.back();
  }
  std::vector<std::int64_t> ranks(first_of.size());  // the groups in the order of the result
  std::iota(ranks.begin(), ranks.end(), 0);
  if (call.node.integer("sorted", 1) == 0)
    std::sort(ranks.begin(), ranks.end(), [&](std::int64_t a, std::int64_t b) {
      return first_of[static_cast<std::size_t>(a)] < first_of[static_cast<std::size_t>(b)];
    });
  std::vector<std::int64_t> firsts, sizes, place(ranks.size());
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    const auto rank = static_cast<std::size_t>(ranks[i]);
    firsts.push_back(static_cast<std::int64_t>(first_of[rank]));
    sizes.push_back(counts[rank]);
    place[rank] = static_cast<std::int64_t>(i);
  }
  for (std::int64_t& g : group) g = place[static_cast<std::size_t>(g)];
  return {Value(selected(x, axis, firsts)), Value(tensor(firsts), int64), Value(tensor(group), int64),
          Value(tensor(sizes), int64)};
}

}  // namespace

std::vector<Operator> gather_operators() {
  return {
      {"Gather", gather_},
      {"GatherElements", gather_elements},
      {"GatherND", gather_nd},
      {"Scatter", scatter_elements},
      {"ScatterElements", scatter_elements},
      {"ScatterND", scatter_nd},
      {"TensorScatter", tensor_scatter},
      {"NonZero", non_zero},
      {"TopK", top_k},
      {"CumSum", cum_sum},
      {"CumProd", cum_prod},
      {"OneHot", one_hot},
      {"Compress", compress},
      {"Unique", unique_},
      {"ai.onnx.ml:ArrayFeatureExtractor", feature_extractor},
  };
}

}  // namespace karyon::onnx
