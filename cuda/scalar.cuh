// Numbers on the device: bf16 to float and back, and short vectors of either.
#pragma once
#include <cuda_bf16.h>

#include <cstdint>

#include <karyon/core/dtype.h>

namespace karyon::cuda {

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(BFloat16 x) { return __uint_as_float(static_cast<unsigned>(x.bits) << 16); }

template <class T>
__device__ T from_float(float x);
template <>
__device__ inline float from_float<float>(float x) {
  return x;
}
template <>
__device__ inline BFloat16 from_float<BFloat16>(float x) {
  BFloat16 y;
  y.bits = __bfloat16_as_ushort(__float2bfloat16_rn(x));
  return y;
}

/// n neighbouring elements in one access; `from` must be aligned to all of them.
template <class T, int n>
__device__ inline void load_vector(const T* from, float (&out)[n]) {
  static_assert(n == 1 || n == 2 || n == 4);
  if constexpr (n == 1) {
    out[0] = to_float(*from);
  } else if constexpr (sizeof(T) == 4 && n == 2) {
    const float2 v = *reinterpret_cast<const float2*>(from);
    out[0] = v.x, out[1] = v.y;
  } else if constexpr (sizeof(T) == 4) {
    const float4 v = *reinterpret_cast<const float4*>(from);
    out[0] = v.x, out[1] = v.y, out[2] = v.z, out[3] = v.w;
  } else {
    // Two to a word: the first in its lower half.
    unsigned words[n / 2];
    if constexpr (n == 4) {
      const uint2 v = *reinterpret_cast<const uint2*>(from);
      words[0] = v.x, words[1] = v.y;
    } else {
      words[0] = *reinterpret_cast<const unsigned*>(from);
    }
#pragma unroll
    for (int i = 0; i < n; i += 2) {
      out[i] = __uint_as_float(words[i / 2] << 16);
      out[i + 1] = __uint_as_float(words[i / 2] & 0xffff0000u);
    }
  }
}
template <class T, int n>
__device__ inline void store_vector(T* to, const float (&values)[n]) {
  static_assert(n == 1 || n == 2 || n == 4);
  if constexpr (n == 1) {
    *to = from_float<T>(values[0]);
  } else if constexpr (sizeof(T) == 4 && n == 2) {
    *reinterpret_cast<float2*>(to) = make_float2(values[0], values[1]);
  } else if constexpr (sizeof(T) == 4) {
    *reinterpret_cast<float4*>(to) = make_float4(values[0], values[1], values[2], values[3]);
  } else {
    unsigned words[n / 2];
#pragma unroll
    for (int i = 0; i < n; i += 2)
      words[i / 2] = from_float<BFloat16>(values[i]).bits | unsigned{from_float<BFloat16>(values[i + 1]).bits}
                                                                << 16;
    if constexpr (n == 4) {
      *reinterpret_cast<uint2*>(to) = make_uint2(words[0], words[1]);
    } else {
      *reinterpret_cast<unsigned*>(to) = words[0];
    }
  }
}

}  // namespace karyon::cuda
