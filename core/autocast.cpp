#include <karyon/core/autocast.h>

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
Tensor widen(const Tensor& x) { return x.defined() && x.dtype() == bf16 ? x.to(f32) : x; }
Tensor beside(const Tensor& x, const Tensor& parameter) {
  return x.dtype() == bf16 ? widen(parameter) : parameter;
}
bool mixed(const Tensor& a, const Tensor& b) {
  return (a.dtype() == bf16 && b.dtype() == f32) || (a.dtype() == f32 && b.dtype() == bf16);
}

}  // namespace karyon
