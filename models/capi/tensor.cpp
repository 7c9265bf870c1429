#include <cstring>

#include <karyon/core/dlpack.h>
#include <karyon/core/io/numpy.h>
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/matmul.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/random.h>
#include <karyon/models/capi/call.h>

using namespace karyon::capi;
using karyon::Tensor;

namespace {

std::size_t bytes_of(const Tensor& x) {
  return static_cast<std::size_t>(x.numel()) * karyon::element_size(x.dtype());
}

// A new tensor of a shape and dtype.
template <class F>
karyon_status make(const char* op, const std::int64_t* sizes, int dims, karyon_dtype kind,
                   karyon_tensor** out, F f) {
  return give(op, out,
              [&] { return f(shape(op, sizes, dims), karyon::TensorOptions{.dtype = dtype(op, kind)}); });
}

// f of one tensor.
template <class F>
karyon_status map(const char* op, const karyon_tensor* x, karyon_tensor** out, F f) {
  return give(op, out, [&] { return f(at(op, x).value); });
}

// f of two tensors.
template <class F>
karyon_status combine(const char* op, const karyon_tensor* a, const karyon_tensor* b, karyon_tensor** out,
                      F f) {
  return give(op, out, [&] { return f(at(op, a).value, at(op, b).value); });
}

// Gives a number of one tensor.
template <class T, class F>
karyon_status tell(const char* op, const karyon_tensor* x, T* out, F f) {
  return call([&] { at(op, out) = f(at(op, x).value); });
}

}  // namespace

karyon_status karyon_tensor_empty(const std::int64_t* shape, int dims, karyon_dtype dtype,
                                  karyon_tensor** out) {
  return make("karyon_tensor_empty", shape, dims, dtype, out,
              [](const auto& s, auto options) { return karyon::empty(s, options); });
}

karyon_status karyon_tensor_full(const std::int64_t* shape, int dims, karyon_dtype dtype, double value,
                                 karyon_tensor** out) {
  return make("karyon_tensor_full", shape, dims, dtype, out,
              [&](const auto& s, auto options) { return karyon::full(s, value, options); });
}

karyon_status karyon_tensor_from_data(const void* data, const std::int64_t* shape, int dims,
                                      karyon_dtype dtype, karyon_tensor** out) {
  return make("karyon_tensor_from_data", shape, dims, dtype, out, [&](const auto& s, auto options) {
    Tensor x = karyon::empty(s, options);
    if (x.numel() == 0) return x;
    at("karyon_tensor_from_data", static_cast<const char*>(data));
    std::memcpy(x.data_ptr(), data, bytes_of(x));
    return x;
  });
}

karyon_status karyon_tensor_from_blob(void* data, const std::int64_t* shape, int dims, karyon_dtype dtype,
                                      karyon_tensor** out) {
  return make("karyon_tensor_from_blob", shape, dims, dtype, out,
              [&](const auto& s, auto options) { return karyon::from_blob(data, s, options); });
}

karyon_status karyon_tensor_rand(const std::int64_t* shape, int dims, karyon_dtype dtype,
                                 karyon_tensor** out) {
  return make("karyon_tensor_rand", shape, dims, dtype, out,
              [](const auto& s, auto options) { return karyon::rand(s, options); });
}

karyon_status karyon_tensor_randn(const std::int64_t* shape, int dims, karyon_dtype dtype,
                                  karyon_tensor** out) {
  return make("karyon_tensor_randn", shape, dims, dtype, out,
              [](const auto& s, auto options) { return karyon::randn(s, options); });
}

void karyon_tensor_free(karyon_tensor* x) { delete x; }

karyon_status karyon_tensor_dims(const karyon_tensor* x, int* dims) {
  return tell("karyon_tensor_dims", x, dims, [](const Tensor& t) { return t.dim(); });
}

karyon_status karyon_tensor_shape(const karyon_tensor* x, std::int64_t* shape) {
  return call([&] {
    const Tensor& t = at("karyon_tensor_shape", x).value;
    if (t.dim() > 0) at("karyon_tensor_shape", shape);
    for (int d = 0; d < t.dim(); ++d) shape[d] = t.size(d);
  });
}

karyon_status karyon_tensor_numel(const karyon_tensor* x, std::int64_t* numel) {
  return tell("karyon_tensor_numel", x, numel, [](const Tensor& t) { return t.numel(); });
}

karyon_status karyon_tensor_dtype(const karyon_tensor* x, karyon_dtype* out) {
  return tell("karyon_tensor_dtype", x, out, [](const Tensor& t) { return dtype(t.dtype()); });
}

karyon_status karyon_tensor_device(const karyon_tensor* x, karyon_device* out) {
  return tell("karyon_tensor_device", x, out, [](const Tensor& t) {
    return t.device().type == karyon::DeviceType::cpu ? KARYON_CPU : KARYON_CUDA;
  });
}

karyon_status karyon_tensor_data(karyon_tensor* x, void** data) {
  return call([&] { at("karyon_tensor_data", data) = at("karyon_tensor_data", x).value.data_ptr(); });
}

karyon_status karyon_tensor_copy_to(const karyon_tensor* x, void* data, std::size_t bytes) {
  return call([&] {
    const Tensor host = at("karyon_tensor_copy_to", x).value.to(karyon::Device::cpu());
    karyon::check(bytes == bytes_of(host), "karyon_tensor_copy_to: expects ", bytes_of(host), " bytes, got ",
                  bytes);
    if (bytes == 0) return;
    at("karyon_tensor_copy_to", static_cast<char*>(data));
    std::memcpy(data, host.data_ptr(), bytes);
  });
}

karyon_status karyon_tensor_clone(const karyon_tensor* x, karyon_tensor** out) {
  return map("karyon_tensor_clone", x, out, [](const Tensor& t) { return t.clone(); });
}

karyon_status karyon_tensor_to_dtype(const karyon_tensor* x, karyon_dtype kind, karyon_tensor** out) {
  return map("karyon_tensor_to_dtype", x, out,
             [&](const Tensor& t) { return t.to(dtype("karyon_tensor_to_dtype", kind)); });
}

karyon_status karyon_tensor_to_device(const karyon_tensor* x, karyon_device kind, karyon_tensor** out) {
  return map("karyon_tensor_to_device", x, out,
             [&](const Tensor& t) { return t.to(device("karyon_tensor_to_device", kind)); });
}

karyon_status karyon_tensor_reshape(const karyon_tensor* x, const std::int64_t* sizes, int dims,
                                    karyon_tensor** out) {
  return map("karyon_tensor_reshape", x, out,
             [&](const Tensor& t) { return t.reshape(shape("karyon_tensor_reshape", sizes, dims)); });
}

karyon_status karyon_tensor_permute(const karyon_tensor* x, const int* order, int dims, karyon_tensor** out) {
  return map("karyon_tensor_permute", x, out, [&](const Tensor& t) {
    karyon::check(dims >= 0, "karyon_tensor_permute: expects 0 dimensions or more, got ", dims);
    if (dims > 0) at("karyon_tensor_permute", order);
    return t.permute(std::vector<int>(order, order + dims));
  });
}

karyon_status karyon_tensor_add(const karyon_tensor* a, const karyon_tensor* b, karyon_tensor** out) {
  return combine("karyon_tensor_add", a, b, out, [](const Tensor& x, const Tensor& y) { return x + y; });
}

karyon_status karyon_tensor_sub(const karyon_tensor* a, const karyon_tensor* b, karyon_tensor** out) {
  return combine("karyon_tensor_sub", a, b, out, [](const Tensor& x, const Tensor& y) { return x - y; });
}

karyon_status karyon_tensor_mul(const karyon_tensor* a, const karyon_tensor* b, karyon_tensor** out) {
  return combine("karyon_tensor_mul", a, b, out, [](const Tensor& x, const Tensor& y) { return x * y; });
}

karyon_status karyon_tensor_div(const karyon_tensor* a, const karyon_tensor* b, karyon_tensor** out) {
  return combine("karyon_tensor_div", a, b, out, [](const Tensor& x, const Tensor& y) { return x / y; });
}

karyon_status karyon_tensor_matmul(const karyon_tensor* a, const karyon_tensor* b, karyon_tensor** out) {
  return combine("karyon_tensor_matmul", a, b, out,
                 [](const Tensor& x, const Tensor& y) { return karyon::matmul(x, y); });
}

karyon_status karyon_tensor_sigmoid(const karyon_tensor* x, karyon_tensor** out) {
  return map("karyon_tensor_sigmoid", x, out, [](const Tensor& t) { return karyon::sigmoid(t); });
}

karyon_status karyon_tensor_softmax(const karyon_tensor* x, int dim, karyon_tensor** out) {
  return map("karyon_tensor_softmax", x, out, [&](const Tensor& t) { return t.softmax(dim); });
}

karyon_status karyon_tensor_argmax(const karyon_tensor* x, int dim, karyon_tensor** out) {
  return map("karyon_tensor_argmax", x, out, [&](const Tensor& t) { return t.argmax(dim); });
}

karyon_status karyon_tensor_load_npy(const char* path, karyon_tensor** out) {
  return give("karyon_tensor_load_npy", out, [&] {
    at("karyon_tensor_load_npy", path);
    return karyon::load_npy(path);
  });
}

karyon_status karyon_tensor_save_npy(const karyon_tensor* x, const char* path) {
  return call([&] {
    at("karyon_tensor_save_npy", path);
    karyon::save_npy(path, at("karyon_tensor_save_npy", x).value);
  });
}

karyon_status karyon_tensor_to_dlpack(const karyon_tensor* x, void** managed) {
  return call([&] {
    at("karyon_tensor_to_dlpack", managed);
    *managed = karyon::to_dlpack(at("karyon_tensor_to_dlpack", x).value.detach());
  });
}

karyon_status karyon_tensor_from_dlpack(void* managed, karyon_tensor** out) {
  return call([&] {
    at("karyon_tensor_from_dlpack", out);
    auto x = std::make_unique<karyon_tensor>();  // before the memory changes hands
    x->value = karyon::from_dlpack(static_cast<karyon::dlpack::DLManagedTensor*>(managed));
    *out = x.release();
  });
}
