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

// The machine word that holds n elements of T.
template <int bytes>
struct Word;
template <>
struct Word<2> {
  using type = unsigned short;
};
template <>
struct Word<4> {
  using type = unsigned;
};
template <>
struct Word<8> {
  using type = uint2;
};
template <>
struct Word<16> {
  using type = uint4;
};

/// n neighbouring elements in one access; `from` must be aligned to all of them.
template <class T, int n>
__device__ inline void load_vector(const T* from, float (&out)[n]) {
  using W = typename Word<n * sizeof(T)>::type;
  union {
    W word;
    T element[n];
  } u{};
  u.word = *reinterpret_cast<const W*>(from);
#pragma unroll
  for (int i = 0; i < n; ++i) out[i] = to_float(u.element[i]);
}
template <class T, int n>
__device__ inline void store_vector(T* to, const float (&values)[n]) {
  using W = typename Word<n * sizeof(T)>::type;
  union {
    W word;
    T element[n];
  } u{};
#pragma unroll
  for (int i = 0; i < n; ++i) u.element[i] = from_float<T>(values[i]);
  *reinterpret_cast<W*>(to) = u.word;
}

}  // namespace karyon::cuda
