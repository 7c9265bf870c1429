#include <limits>
#include <map>

#include <karyon/models/onnx/call.h>

namespace karyon::onnx {

const Value& Call::value(int i) const {
  check(has(i), "input ", i, " is missing");
  return inputs_[static_cast<std::size_t>(i)];
}
Tensor Call::raw(int i) const {
  check(value(i).tensor.defined(), "input ", i, " is a sequence, not a tensor");
  return value(i).tensor;
}
Tensor Call::x(int i) const { return value(i).channels_last ? to_channels_first(raw(i)) : raw(i); }
Tensor Call::image(int i) const { return value(i).channels_last ? raw(i) : to_channels_last(raw(i)); }
std::vector<std::int64_t> Call::numbers(int i) const {
  const Tensor numbers = x(i);
  check(numbers.dtype() == i64 && numbers.dim() <= 1, "input ", i,
        " expects whole numbers in one dimension, got ", numbers.dtype(), numbers.shape());
  return numbers.to_vector<std::int64_t>();
}
std::vector<std::int64_t> Call::numbers(int i, const std::string& attribute) const {
  return has(i) ? numbers(i) : node.integers(attribute);
}
double Call::number(int i, double otherwise) const {
  if (!has(i) || x(i).numel() == 0) return otherwise;
  return x(i).item<double>();
}
double Call::number(int i, const std::string& attribute, double otherwise) const {
  return number(i, node.real(attribute, otherwise));
}

namespace {
int narrowed(std::int64_t axis) {
  check(axis >= -Shape::max_dims && axis <= Shape::max_dims, "axis ", axis, " is out of range");
  return static_cast<int>(axis);
}
}  // namespace

int Call::axis(const std::string& attribute, std::int64_t otherwise) const {
  return narrowed(node.integer(attribute, otherwise));
}

Value like(const Call& call, int i, Tensor y) {
  Value value(std::move(y));
  value.channels_last = call.value(i).channels_last;
  return value;
}
std::vector<int> dims_of(const std::vector<std::int64_t>& axes) {
  std::vector<int> dims;
  for (const std::int64_t axis : axes) dims.push_back(narrowed(axis));
  return dims;
}
Shape shape_of(const std::vector<std::int64_t>& sizes) {
  for (const std::int64_t size : sizes) check(size >= 0, "a size of ", size, " is negative");
  return Shape(std::span(sizes));
}
Tensor numbers_of(const std::vector<std::int64_t>& numbers) { return tensor(numbers); }
Tensor scalar_like(const Tensor& x, double value) {
  return full(Shape(), value, {.dtype = x.dtype(), .device = x.device()});
}

}  // namespace karyon::onnx
