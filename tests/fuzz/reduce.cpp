// Reductions over any dimensions, and softmax, against plain loops.
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/reduce.h>

#include <set>

#include "tensors.h"

namespace {

using namespace fuzz;

constexpr double infinity = std::numeric_limits<double>::infinity();

/// What lies along the dimensions that are reduced, for each place of the result.
struct Groups {
  Shape result;
  std::vector<std::vector<double>> values;
};

Groups groups(const Tensor& x, std::vector<int> dims, bool keepdim) {
  const Values all(x);
  const int count = x.dim();
  std::set<int> reduced;
  for (const int d : dims) reduced.insert(d < 0 ? d + count : d);
  for (int d = 0; dims.empty() && d < count; ++d) reduced.insert(d);
  Groups g;
  Shape kept;
  for (int d = 0; d < count; ++d) {
    if (!reduced.contains(d) || keepdim) g.result.push_back(reduced.contains(d) ? 1 : x.size(d));
    kept.push_back(reduced.contains(d) ? 1 : x.size(d));
  }
  g.values.resize(static_cast<std::size_t>(kept.numel()));
  for_each_place(x.shape(), [&](const std::vector<std::int64_t>& at) {
    std::size_t index = 0;
    for (int d = 0; d < count; ++d)
      if (!reduced.contains(d))
        index = index * static_cast<std::size_t>(x.size(d)) +
                static_cast<std::size_t>(at[static_cast<std::size_t>(d)]);
    g.values[index].push_back(all.at(at));
  });
  return g;
}

double total(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}

double largest(const std::vector<double>& values) {
  double most = -infinity;
  for (const double value : values) most = std::isnan(value) || value > most ? value : most;
  return most;
}

double first_largest(const std::vector<double>& values) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < values.size(); ++i)
    if (!std::isnan(values[best]) && (std::isnan(values[i]) || values[i] > values[best])) best = i;
  return static_cast<double>(best);
}

struct Reduction {
  const char* name;
  Tensor (*op)(const Tensor&, const std::vector<int>&, bool);
  double (*of)(const std::vector<double>&);
  bool smooth;
};

constexpr std::array<Reduction, 4> reductions{
    {{"sum", karyon::sum, total, true},
     {"mean", karyon::mean,
      [](const std::vector<double>& v) { return total(v) / static_cast<double>(v.size()); }, true},
     {"max", karyon::max, largest, false},
     {"argmax",
      [](const Tensor& x, const std::vector<int>& d, bool keep) {
        return karyon::argmax(x, d.empty() ? 0 : d[0], keep);
      },
      first_largest, false}}};

void run_softmax(ByteReader& in, const Tensor& x, bool log) {
  const int dim = in.whole(-6, 6);
  const Op op = [&](const Tensors& t) {
    return log ? karyon::log_softmax(t[0], dim) : karyon::softmax(t[0], dim);
  };
  Tensor y;
  if (!succeeds<karyon::Error>([&] { y = op({x}); })) return;
  expect(y.shape() == x.shape(), "softmax: shape ", y.shape());
  if (x.numel() == 0) return;
  const Tensor ones = karyon::sum((log ? y.exp() : y).to(karyon::f64), {dim});
  expect_close("softmax", ones, ones.shape(),
               std::vector<double>(static_cast<std::size_t>(ones.numel()), 1.0), rounding(x.dtype()));
  if (x.dtype() == karyon::f64) check_gradient("softmax", op, {x});
}

void run(Bytes input) {
  ByteReader in(input);
  constexpr std::array dtypes{karyon::f32, karyon::f64, karyon::bf16,
                              karyon::i64, karyon::u8,  karyon::boolean};
  const int kind = in.whole(0, 5);
  const DType dtype = in.one_of(dtypes);
  const Shape shape = in.flag() ? any_shape(in, 0, 4, 9) : any_shape(in, 1, 2, 70);
  Tensor x = noise(shape, karyon::f64, in.byte());
  if (dtype == karyon::i64) x = karyon::mul(x, 1000.0);
  if (dtype == karyon::u8) x = karyon::mul(karyon::abs(x), 255.0);
  if (in.byte() == 7 && x.numel() > 0 && karyon::is_floating(dtype))
    x.data<double>()[in.between(0, x.numel() - 1)] = in.one_of(std::array{infinity, -infinity, std::nan("")});
  x = x.to(dtype);
  if (kind > 3) return run_softmax(in, karyon::is_floating(dtype) ? noise(shape, dtype, 3) : x, kind == 5);
  const Reduction& reduction = reductions[static_cast<std::size_t>(kind)];
  std::vector<int> dims;
  for (int count = in.whole(0, kind == 3 ? 1 : 3); count > 0; --count)
    dims.push_back(in.byte() == 255 ? in.whole(-9, 9)
                                    : in.whole(-shape.dims(), shape.dims() - 1 + (shape.dims() == 0)));
  const bool keep = in.flag();
  if (kind == 3 && dims.empty()) dims = {0};
  if (shape.dims() == 0) dims.clear();
  Tensor y;
  if (!succeeds<karyon::Error>([&] { y = reduction.op(x, dims, keep); })) return;
  if (shape.dims() == 0) return;
  const Groups g = groups(x, dims, keep);
  std::vector<double> want;
  for (const auto& values : g.values) want.push_back(reduction.of(values));
  expect_close(reduction.name, y, g.result, want,
               dtype == karyon::f32    ? 1e-5
               : dtype == karyon::bf16 ? 1e-5
                                       : 1e-12);
  if (reduction.smooth && dtype == karyon::f64 && std::isfinite(total(x.to_vector<double>())))
    check_gradient(reduction.name, [&](const Tensors& t) { return reduction.op(t[0], dims, keep); }, {x});
}

Inputs seeds() { return noise_seeds(64, 32); }

const Register target{{"reduce", run, seeds}};

}  // namespace
