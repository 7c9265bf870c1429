#pragma once
#include <cstdint>

// Private to core/cpu: products of small matrices that lie in the caches, by one thread.
namespace karyon::cpu {

/// A matrix whose element (i, k) lies at data[i * row + k * column].
template <class T>
struct Strided {
  const T* data;
  std::int64_t row, column = 1;
};

/// c [m, n] = a [m, depth] b [depth, n], or c += a b if `add`. The rows of b and of c are contiguous, `b_row`
/// and `c_row` apart; c overlaps neither a nor b.
template <class T>
struct Product {
  std::int64_t m, n, depth;
  Strided<T> a;
  const T* b;
  std::int64_t b_row;
  T* c;
  std::int64_t c_row;
  bool add = false;
};

/// Each element is one sum in the order of depth.
void multiply(const Product<float>& product);
void multiply(const Product<double>& product);

}  // namespace karyon::cpu
