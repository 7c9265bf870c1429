#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/weight_cache.h>

namespace karyon {
namespace {

thread_local DType in_force = f32;

}  // namespace

DType autocast_dtype() { return in_force; }

AutocastGuard::AutocastGuard(DType dtype) : before_(in_force) {
  check(dtype == f32 || dtype == bf16, "AutocastGuard: expects bf16, or f32 to switch it off, got ", dtype);
  in_force = dtype;
}
AutocastGuard::~AutocastGuard() { in_force = before_; }

Tensor autocast(const Tensor& x) {
  return x.defined() && x.dtype() == f32 && in_force != f32 ? x.to(in_force) : x;
}
Tensor autocast_weight(const Tensor& weight) {
  if (!weight.defined() || weight.dtype() != f32 || in_force == f32 || grad_enabled())
    return autocast(weight);
  FilterKey key{5, static_cast<std::int64_t>(in_force), weight.impl()->offset};
  for (int d = 0; d < weight.dim(); ++d) key.push_back(weight.size(d));
  return used_before(weight, key) ? kept_filters(weight, key, [&] { return autocast(weight); })
                                  : autocast(weight);
}
Tensor widen(const Tensor& x) { return x.defined() ? x.to(parameter_dtype(x.dtype())) : x; }
Tensor beside(const Tensor& x, const Tensor& parameter) {
  return x.dtype() == bf16 ? widen(parameter) : parameter;
}
bool mixed(const Tensor& a, const Tensor& b) {
  const auto together = [](DType x, DType y) {
    return (parameter_dtype(x) == f32 && parameter_dtype(y) == f32) || (is_index(x) && is_index(y));
  };
  return a.dtype() != b.dtype() && together(a.dtype(), b.dtype());
}

}  // namespace karyon
