#pragma once
#include <memory>
#include <new>
#include <string>
#include <string_view>

#include <karyon/core/tensor.h>
#include <karyon/layers/module.h>
#include <karyon/models/capi/karyon_c.h>

// Private: how the functions of karyon_c.h reach the library.

struct karyon_tensor {
  karyon::Tensor value;
};
struct karyon_module {
  std::unique_ptr<karyon::Module> value;
};

namespace karyon::capi {

/// Keeps the message of karyon_last_error(); returns the status.
karyon_status failed(karyon_status status, std::string_view why) noexcept;

/// Calls f. What it throws becomes a status.
template <class F>
karyon_status call(F f) noexcept {
  try {
    f();
    return KARYON_OK;
  } catch (const Error& error) {
    return failed(KARYON_ERROR, error.what());
  } catch (const std::bad_alloc&) {
    return failed(KARYON_OUT_OF_MEMORY, "no memory");
  } catch (const std::exception& error) {
    return failed(KARYON_INTERNAL, error.what());
  } catch (...) {
    return failed(KARYON_INTERNAL, "unknown error");
  }
}

/// What a pointer from outside points to. Throws Error for null.
template <class T>
T& at(const char* op, T* pointer) {
  check(pointer != nullptr, op, ": expects a pointer, got null");
  return *pointer;
}

/// Gives f() to the caller as a new tensor.
template <class F>
karyon_status give(const char* op, karyon_tensor** out, F f) noexcept {
  return call([&] {
    at(op, out);
    *out = std::make_unique<karyon_tensor>(karyon_tensor{f()}).release();
  });
}

DType dtype(const char* op, karyon_dtype given);
karyon_dtype dtype(DType given);
Device device(const char* op, karyon_device given);
Shape shape(const char* op, const std::int64_t* sizes, int dims);

}  // namespace karyon::capi
