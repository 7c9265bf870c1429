#pragma once
#include <utility>

#include <karyon/models/onnx/call.h>

namespace karyon::onnx {

/// Two values in one layout, and which.
struct Aligned {
  Tensor a, b;
  bool channels_last = false;
};
/// Images that lie channels last stay so beside another, and beside what broadcasts to them.
Aligned aligned(const Value& a, const Value& b);

/// f of two values, in one layout.
template <class F>
Value combined(const Value& a, const Value& b, const F& f) {
  const Aligned both = aligned(a, b);
  Value y(f(both.a, both.b));
  y.channels_last = both.channels_last;
  return y;
}

}  // namespace karyon::onnx
