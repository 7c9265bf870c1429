#include <karyon/core/backend.h>
#include <karyon/core/parallel.h>
#include <karyon/core/random.h>
#include <karyon/core/version.h>
#include <karyon/models/capi/call.h>

namespace karyon::capi {
namespace {

struct Pair {
  karyon_dtype ours;
  DType theirs;
};
constexpr Pair dtypes[] = {{KARYON_F32, f32}, {KARYON_F64, f64},      {KARYON_BF16, bf16}, {KARYON_I64, i64},
                           {KARYON_U8, u8},   {KARYON_BOOL, boolean}, {KARYON_F16, f16},   {KARYON_I32, i32}};

thread_local std::string last_error;

}  // namespace

karyon_status failed(karyon_status status, std::string_view why) noexcept {
  try {
    last_error = why;
  } catch (...) {
    last_error.clear();
  }
  return status;
}

DType dtype(const char* op, karyon_dtype given) {
  for (const Pair& pair : dtypes)
    if (pair.ours == given) return pair.theirs;
  throw Error(std::string(op) + ": expects a karyon_dtype, got " + std::to_string(static_cast<int>(given)));
}

karyon_dtype dtype(DType given) {
  for (const Pair& pair : dtypes)
    if (pair.theirs == given) return pair.ours;
  throw Error(std::string("karyon_tensor_dtype: has no name for ") + name(given));
}

Device device(const char* op, karyon_device given) {
  check(given == KARYON_CPU || given == KARYON_CUDA, op, ": expects a karyon_device, got ",
        static_cast<int>(given));
  return given == KARYON_CPU ? Device::cpu() : Device::cuda();
}

Shape shape(const char* op, const std::int64_t* sizes, int dims) {
  check(dims >= 0, op, ": expects 0 dimensions or more, got ", dims);
  if (dims > 0) at(op, sizes);
  Shape out;
  for (int d = 0; d < dims; ++d) out.push_back(sizes[d]);
  return out;
}

}  // namespace karyon::capi

using namespace karyon::capi;

const char* karyon_version(void) { return karyon::version(); }
const char* karyon_last_error(void) { return last_error.c_str(); }

int karyon_is_available(karyon_device kind) {
  int available = 0;
  call([&] { available = karyon::is_available(device("karyon_is_available", kind).type); });
  return available;
}

karyon_status karyon_set_num_threads(int threads) {
  return call([&] { karyon::set_num_threads(threads); });
}

karyon_status karyon_num_threads(int* threads) {
  return call([&] { at("karyon_num_threads", threads) = karyon::num_threads(); });
}

karyon_status karyon_manual_seed(std::uint64_t seed) {
  return call([&] { karyon::manual_seed(seed); });
}
