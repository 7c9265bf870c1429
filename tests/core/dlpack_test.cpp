#include <algorithm>
#include <catch2/catch.hpp>
#include <cstddef>

#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/dlpack.h>
#include <karyon/core/ops/conv.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/random.h>

#include "op_check.h"

using namespace karyon;
using namespace karyon::dlpack;
using Doubles = std::vector<double>;

namespace {

int freed = 0;

/// Another library's array of 2 x 3 floats.
struct Foreign {
  float values[8] = {0, 1, 2, 3, 4, 5, 6, 7};
  std::int64_t shape[2] = {2, 3}, strides[2] = {3, 1};

  template <class Managed>
  Managed managed() {
    Managed out{};
    out.dl_tensor = {.data = values,
                     .device = {.device_type = DLDeviceType::cpu, .device_id = 0},
                     .ndim = 2,
                     .dtype = {.code = DLDataTypeCode::floating, .bits = 32, .lanes = 1},
                     .shape = shape,
                     .strides = nullptr,
                     .byte_offset = 0};
    out.deleter = [](Managed*) { ++freed; };
    return out;
  }
};

}  // namespace

TEST_CASE("dlpack: the types have the layout of the standard") {
  CHECK(sizeof(DLTensor) == 48);
  CHECK(offsetof(DLTensor, ndim) == 16);
  CHECK(offsetof(DLTensor, dtype) == 20);
  CHECK(offsetof(DLTensor, shape) == 24);
  CHECK(offsetof(DLTensor, byte_offset) == 40);
  CHECK(sizeof(DLManagedTensor) == 64);
  CHECK(offsetof(DLManagedTensor, deleter) == 56);
  CHECK(sizeof(DLManagedTensorVersioned) == 80);
  CHECK(offsetof(DLManagedTensorVersioned, flags) == 24);
  CHECK(offsetof(DLManagedTensorVersioned, dl_tensor) == 32);
}

TEST_CASE("dlpack: a tensor goes out and its memory comes back, in every dtype") {
  for (const DType dtype : {f32, f64, bf16, i64, u8, boolean, f16, i32}) {
    Tensor x = arange(6).reshape({2, 3}).to(dtype);
    DLManagedTensor* const out = to_dlpack(x);
    CHECK(out->dl_tensor.data == x.data_ptr());
    CHECK(out->dl_tensor.ndim == 2);
    CHECK(out->dl_tensor.shape[1] == 3);
    CHECK(out->dl_tensor.strides[0] == 3);
    CHECK(out->dl_tensor.dtype.bits == 8 * element_size(dtype));
    const Tensor back = from_dlpack(out);
    CHECK(back.dtype() == dtype);
    CHECK(back.shape() == Shape{2, 3});
    CHECK(std::as_const(back).data_ptr() == std::as_const(x).data_ptr());
    x = Tensor();  // `back` keeps the memory
    CHECK(back.to_vector<double>()[1] == 1);
  }
  DLManagedTensorVersioned* const out = to_dlpack_versioned(arange(3)[1]);
  CHECK(out->version.major == 1);
  CHECK(out->dl_tensor.ndim == 0);
  CHECK(from_dlpack(out).item<std::int64_t>() == 1);
}

TEST_CASE("dlpack: memory of another library is used and given back") {
  Foreign foreign;
  auto managed = foreign.managed<DLManagedTensor>();
  managed.dl_tensor.byte_offset = sizeof(float);
  freed = 0;
  {
    const Tensor x = from_dlpack(&managed), part = x[1];
    CHECK(x.to_vector<double>() == Doubles{1, 2, 3, 4, 5, 6});
    foreign.values[4] = 40;
    CHECK((part + 1).to_vector<double>() == Doubles{41, 6, 7});
    CHECK(freed == 0);
  }
  CHECK(freed == 1);
}

TEST_CASE("dlpack: strides and memory for reading only are copied") {
  Foreign foreign;
  auto managed = foreign.managed<DLManagedTensor>();
  freed = 0;
  managed.dl_tensor.strides = foreign.strides;
  foreign.strides[0] = 1;
  foreign.strides[1] = 2;
  const Tensor x = from_dlpack(&managed);
  CHECK(freed == 1);
  CHECK(x.to_vector<double>() == Doubles{0, 2, 4, 1, 3, 5});
  foreign.strides[0] = -3;
  foreign.strides[1] = 0;
  managed.dl_tensor.byte_offset = 3 * sizeof(float);
  CHECK(from_dlpack(&managed).to_vector<double>() == Doubles{3, 3, 3, 0, 0, 0});

  auto versioned = foreign.managed<DLManagedTensorVersioned>();
  versioned.version = {.major = 1, .minor = 2};
  versioned.flags = flag_read_only;
  const Tensor y = from_dlpack(&versioned);
  foreign.values[0] = 9;
  CHECK(y.to_vector<double>() == Doubles{0, 1, 2, 3, 4, 5});
  foreign.shape[1] = 0;
  CHECK(from_dlpack(&versioned).shape() == Shape{2, 0});
  CHECK(freed == 4);
}

TEST_CASE("dlpack: weights that another library writes to are not kept packed or cast") {
  Generator generator(2);
  const Tensor weight = randn({20, 1, 1, 18}, generator), x = randn({3, 5, 4, 18}, generator);
  const NoGradGuard no_grad;
  const bool autocasts = GENERATE(false, true);
  const AutocastGuard autocast(autocasts ? bf16 : f32);
  for (int call = 0; call < 3; ++call) conv2d(x, weight);
  DLManagedTensor* const managed = to_dlpack(weight);
  for (int call = 0; call < 3; ++call) conv2d(x, weight);
  std::fill_n(static_cast<float*>(managed->dl_tensor.data), weight.numel(), 0.5f);
  CHECK(test::difference(conv2d(x, weight).to(f64), conv2d(x, full({20, 1, 1, 18}, 0.5)).to(f64)) == 0);
  managed->deleter(managed);
}

TEST_CASE("dlpack: what is refused stays with its owner") {
  Foreign foreign;
  auto managed = foreign.managed<DLManagedTensor>();
  freed = 0;
  managed.dl_tensor.device.device_type = DLDeviceType::cuda;
  CHECK_THROWS_WITH(from_dlpack(&managed),
                    Catch::Contains("expects memory of the CPU, got that of device type 2"));
  managed = foreign.managed<DLManagedTensor>();
  managed.dl_tensor.dtype = {.code = DLDataTypeCode::integer, .bits = 16, .lanes = 1};
  CHECK_THROWS_WITH(from_dlpack(&managed), Catch::Contains("got type code 0 of 16 bits"));
  managed.dl_tensor.dtype = {.code = DLDataTypeCode::floating, .bits = 32, .lanes = 4};
  CHECK_THROWS_WITH(from_dlpack(&managed), Catch::Contains("one lane, got 4"));
  auto versioned = foreign.managed<DLManagedTensorVersioned>();
  versioned.version = {.major = 2, .minor = 0};
  CHECK_THROWS_WITH(from_dlpack(&versioned), Catch::Contains("version 1 of DLPack, got 2"));
  CHECK_THROWS_WITH(from_dlpack(static_cast<DLManagedTensor*>(nullptr)), Catch::Contains("got null"));
  CHECK(freed == 0);
  CHECK_THROWS_WITH(to_dlpack(ones({2}).requires_grad_()), Catch::Contains("detach() it"));
  CHECK_THROWS_WITH(to_dlpack(Tensor()), Catch::Contains("undefined"));
}
