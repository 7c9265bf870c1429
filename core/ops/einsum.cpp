#include <algorithm>
#include <array>
#include <string>

#include <karyon/core/ops/einsum.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/matmul.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/shape.h>

namespace karyon {
namespace {

// ---- the equation ----

// A dimension's name: A to Z are 0 to 25, a to z 26 to 51. The dimensions under an ellipsis are `unnamed` and
// on, from the last to the first.
using Label = int;
using Labels = std::vector<Label>;
constexpr Label unnamed = 52, label_count = unnamed + Shape::max_dims;

// Stands for the dimensions of an ellipsis until their number is known.
constexpr Label ellipsis = -1;

bool has(const Labels& labels, Label label) {
  return std::find(labels.begin(), labels.end(), label) != labels.end();
}

std::string name_of(Label label) {
  if (label >= unnamed) return "...";
  return std::string(1, static_cast<char>(label < 26 ? 'A' + label : 'a' + label - 26));
}

// One operand, or the result, of an equation.
Labels parse(std::string_view text) {
  Labels labels;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ' ') continue;
    if (text.substr(i, 3) == "...") {
      check(!has(labels, ellipsis), "einsum: expects one ellipsis, got '", text, "'");
      labels.push_back(ellipsis);
      i += 2;
    } else {
      const bool upper = c >= 'A' && c <= 'Z', lower = c >= 'a' && c <= 'z';
      check(upper || lower, "einsum: expects letters, got '", text, "'");
      labels.push_back(upper ? c - 'A' : c - 'a' + 26);
    }
  }
  return labels;
}

// The labels with the ellipsis replaced by those of `dims` dimensions.
Labels with_dims(const Labels& labels, int dims) {
  Labels out;
  for (const Label label : labels) {
    if (label != ellipsis) out.push_back(label);
    for (int d = dims; label == ellipsis && d > 0; --d) out.push_back(unnamed + d - 1);
  }
  return out;
}

struct Equation {
  std::vector<Labels> operands;
  Labels result;
};

// The labels of each operand, one for each dimension.
std::vector<Labels> operand_labels(std::string_view text, const std::vector<Tensor>& operands,
                                   int& most_unnamed) {
  std::vector<Labels> all;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    all.push_back(parse(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  check(all.size() == operands.size(), "einsum: the equation has ", all.size(), " operands, got ",
        operands.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    const bool open = has(all[i], ellipsis);
    const int named = static_cast<int>(all[i].size()) - open, dims = operands[i].dim();
    check(open ? dims >= named : dims == named, "einsum: operand ", i, " has ", named, " letters for ",
          operands[i].shape());
    most_unnamed = std::max(most_unnamed, dims - named);
    all[i] = with_dims(all[i], dims - named);
  }
  return all;
}

Labels implicit_result(const std::vector<Labels>& operands, int unnamed_dims) {
  std::array<int, label_count> count{};
  for (const Labels& labels : operands)
    for (const Label label : labels) ++count[static_cast<std::size_t>(label)];
  Labels result = with_dims({ellipsis}, unnamed_dims);
  for (Label label = 0; label < unnamed; ++label)
    if (count[static_cast<std::size_t>(label)] == 1) result.push_back(label);
  return result;
}

Equation read(std::string_view text, const std::vector<Tensor>& operands) {
  const std::size_t arrow = text.find("->");
  int unnamed_dims = 0;
  Equation equation{operand_labels(text.substr(0, arrow), operands, unnamed_dims), {}};
  if (arrow == std::string_view::npos) {
    equation.result = implicit_result(equation.operands, unnamed_dims);
    return equation;
  }
  for (const Label label : with_dims(parse(text.substr(arrow + 2)), unnamed_dims)) {
    const auto with_label = [&](const Labels& labels) { return has(labels, label); };
    check(!has(equation.result, label), "einsum: the result has '", name_of(label), "' twice");
    check(std::any_of(equation.operands.begin(), equation.operands.end(), with_label),
          "einsum: the result has '", name_of(label), "', which no operand has");
    equation.result.push_back(label);
  }
  return equation;
}

// ---- the sum of products ----

// A tensor and the names of its dimensions, each once.
struct Named {
  Tensor x;
  Labels labels;

  std::int64_t size(Label label) const {
    return x.size(static_cast<int>(std::find(labels.begin(), labels.end(), label) - labels.begin()));
  }
};

using Sizes = std::array<std::int64_t, label_count>;

// Labels that appear twice take the diagonal.
Named without_repeats(Named operand, std::size_t number) {
  for (std::size_t i = 0; i < operand.labels.size(); ++i) {
    const auto first = operand.labels.begin() + static_cast<std::ptrdiff_t>(i);
    const Label label = *first;
    const auto second = std::find(first + 1, operand.labels.end(), label);
    if (second == operand.labels.end()) continue;
    const int row = static_cast<int>(i), column = static_cast<int>(second - operand.labels.begin());
    check(operand.x.size(row) == operand.x.size(column), "einsum: operand ", number, " has '", name_of(label),
          "' for sizes ", operand.x.size(row), " and ", operand.x.size(column));
    operand.x = diagonal(operand.x, 0, row, column);  // is now the last dimension
    operand.labels.erase(second);
    operand.labels.erase(operand.labels.begin() + row);
    operand.labels.push_back(label);
    return without_repeats(std::move(operand), number);
  }
  return operand;
}

// The size of each label: that of all operands, but for sizes of 1.
Sizes sizes_of(const std::vector<Named>& operands) {
  Sizes sizes;
  sizes.fill(1);
  for (const Named& operand : operands)
    for (std::size_t d = 0; d < operand.labels.size(); ++d) {
      std::int64_t& size = sizes[static_cast<std::size_t>(operand.labels[d])];
      const std::int64_t here = operand.x.size(static_cast<int>(d));
      check(here == size || here == 1 || size == 1, "einsum: '", name_of(operand.labels[d]), "' has sizes ",
            size, " and ", here);
      if (here != 1) size = here;
    }
  return sizes;
}

// Without the dimensions of size 1 that broadcast: the label's other operands have them.
Named without_ones(const Named& operand, const Sizes& sizes) {
  Named out{operand.x, {}};
  std::vector<int> ones;
  for (std::size_t d = 0; d < operand.labels.size(); ++d) {
    const int dim = static_cast<int>(d);
    const bool broadcasts = operand.x.size(dim) != sizes[static_cast<std::size_t>(operand.labels[d])];
    if (broadcasts) ones.push_back(dim);
    if (!broadcasts) out.labels.push_back(operand.labels[d]);
  }
  if (!ones.empty()) out.x = squeeze(operand.x, ones);
  return out;
}

// Summed over all labels but those to keep; bf16 stays bf16.
Named summed(const Named& operand, const Labels& keep) {
  Named out{operand.x, {}};
  std::vector<int> dims;
  for (std::size_t d = 0; d < operand.labels.size(); ++d) {
    const bool stays = has(keep, operand.labels[d]);
    if (stays) out.labels.push_back(operand.labels[d]);
    if (!stays) dims.push_back(static_cast<int>(d));
  }
  if (dims.empty()) return out;
  out.x = sum(operand.x, dims);
  if (is_floating(operand.x.dtype())) out.x = out.x.to(operand.x.dtype());
  return out;
}

// The dimensions in this order.
Tensor ordered(const Named& operand, const Labels& order) {
  if (order == operand.labels) return operand.x;
  std::vector<int> dims;
  for (const Label label : order)
    dims.push_back(static_cast<int>(std::find(operand.labels.begin(), operand.labels.end(), label) -
                                    operand.labels.begin()));
  return permute(operand.x, dims);
}

// Concatenated.
Labels joined(Labels a, const Labels& b, const Labels& c = {}) {
  a.insert(a.end(), b.begin(), b.end());
  a.insert(a.end(), c.begin(), c.end());
  return a;
}

std::int64_t count(const Named& operand, const Labels& labels) {
  std::int64_t n = 1;
  for (const Label label : labels) n *= operand.size(label);
  return n;
}

// The product of two operands, summed over all labels but those to keep.
Named product(const Named& left, const Named& right, const Labels& keep) {
  const Named a = summed(left, joined(keep, right.labels)), b = summed(right, joined(keep, left.labels));
  Labels batch, rows, inner, columns;  // of both and kept, of a, of both and summed over, of b
  for (const Label label : a.labels)
    (!has(b.labels, label) ? rows : has(keep, label) ? batch : inner).push_back(label);
  for (const Label label : b.labels)
    if (!has(a.labels, label)) columns.push_back(label);
  Named out{{}, joined(batch, rows, columns)};
  Shape shape;
  for (const Label label : out.labels) shape.push_back((has(a.labels, label) ? a : b).size(label));
  const std::int64_t images = count(a, batch), m = count(a, rows), k = count(a, inner), n = count(b, columns);
  Tensor x = ordered(a, joined(batch, rows, inner)), y = ordered(b, joined(batch, inner, columns));
  if (inner.empty()) {
    out.x = mul(x.reshape({images, m, 1}), y.reshape({images, 1, n})).reshape(shape);
  } else if (batch.empty()) {
    out.x = matmul(x.reshape({m, k}), y.reshape({k, n})).reshape(shape);
  } else {
    out.x = matmul(x.reshape({images, m, k}), y.reshape({images, k, n})).reshape(shape);
  }
  return out;
}

}  // namespace

Tensor einsum(std::string_view text, const std::vector<Tensor>& tensors) {
  check(!tensors.empty(), "einsum: expects at least one operand, got none");
  const Equation equation = read(text, tensors);
  std::vector<Named> operands;
  for (std::size_t i = 0; i < tensors.size(); ++i)
    operands.push_back(without_repeats({tensors[i], equation.operands[i]}, i));
  const Sizes sizes = sizes_of(operands);
  for (Named& operand : operands) operand = without_ones(operand, sizes);
  Named so_far = operands[0];
  for (std::size_t i = 1; i < operands.size(); ++i) {
    Labels keep = equation.result;
    for (std::size_t later = i + 1; later < operands.size(); ++later)
      keep = joined(keep, operands[later].labels);
    so_far = product(so_far, operands[i], keep);
  }
  return ordered(summed(so_far, equation.result), equation.result);
}

// ---- products by other names ----

Tensor mm(const Tensor& a, const Tensor& b) {
  check(a.dim() == 2 && b.dim() == 2, "mm: expects two matrices, got ", a.shape(), " and ", b.shape());
  return matmul(a, b);
}

Tensor bmm(const Tensor& a, const Tensor& b) {
  check(a.dim() == 3 && b.dim() == 3 && a.size(0) == b.size(0), "bmm: expects [B, M, K] and [B, K, N], got ",
        a.shape(), " and ", b.shape());
  return matmul(a, b);
}

Tensor mv(const Tensor& matrix, const Tensor& vector) {
  check(matrix.dim() == 2 && vector.dim() == 1, "mv: expects a matrix and a vector, got ", matrix.shape(),
        " and ", vector.shape());
  return matmul(matrix, vector);
}

Tensor dot(const Tensor& a, const Tensor& b) {
  check(a.dim() == 1 && a.shape() == b.shape(), "dot: expects two vectors of one size, got ", a.shape(),
        " and ", b.shape());
  return matmul(a, b);
}

Tensor outer(const Tensor& a, const Tensor& b) {
  check(a.dim() == 1 && b.dim() == 1, "outer: expects two vectors, got ", a.shape(), " and ", b.shape());
  return mul(unsqueeze(a, 1), b);
}

namespace {

Tensor add_product(const char* op, const Tensor& x, const Tensor& product, const AddProductOptions& options) {
  check(broadcast_shapes(x.shape(), product.shape(), op) == product.shape(), op,
        ": expects x to broadcast to ", product.shape(), ", got ", x.shape());
  const auto scaled = [](const Tensor& y, double factor) { return factor == 1 ? y : mul(y, factor); };
  const Tensor y = scaled(product, options.alpha);
  // 0 times NaN would be NaN.
  if (options.beta == 0) return where(full({}, 0, {.dtype = boolean, .device = y.device()}), x, y);
  return add(scaled(x, options.beta), y);
}

}  // namespace

Tensor addmm(const Tensor& x, const Tensor& a, const Tensor& b, const AddProductOptions& options) {
  check(a.dim() == 2 && b.dim() == 2, "addmm: expects two matrices, got ", a.shape(), " and ", b.shape());
  return add_product("addmm", x, matmul(a, b), options);
}

Tensor baddbmm(const Tensor& x, const Tensor& a, const Tensor& b, const AddProductOptions& options) {
  check(a.dim() == 3 && b.dim() == 3 && a.size(0) == b.size(0),
        "baddbmm: expects [B, M, K] and [B, K, N], got ", a.shape(), " and ", b.shape());
  return add_product("baddbmm", x, matmul(a, b), options);
}

}  // namespace karyon
