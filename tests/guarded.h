#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <string>
#include <vector>

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/random.h>
#include <karyon/core/tensor.h>

// Tensors between two pages that nobody may touch: a kernel that reads or writes beyond one dies at once, in
// any build. Those that end at a page are aligned to one element only.
namespace karyon::test {

enum class Placed { anywhere, at_the_end, at_the_beginning };

/// A tensor of unspecified contents that ends, or begins, at a forbidden page.
inline Tensor guarded_empty(const Shape& shape, DType dtype, Placed placed) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t bytes = static_cast<std::size_t>(shape.numel()) * element_size(dtype);
  const std::size_t room = (bytes + page - 1) / page * page, all = room + 2 * page;
  void* const base = mmap(nullptr, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(base != MAP_FAILED);
  char* const first = static_cast<char*>(base) + page;
  REQUIRE((room == 0 || mprotect(first, room, PROT_READ | PROT_WRITE) == 0));
  std::memset(first, 0x7b, room);
  return from_blob(placed == Placed::at_the_end ? first + room - bytes : first, shape, {.dtype = dtype},
                   [base, all](void*) { munmap(base, all); });
}

/// The tensors of one run of a kernel.
class Memory {
 public:
  explicit Memory(Placed placed) : placed_(placed) {}

  /// Room for an output.
  Tensor room(const Shape& shape, DType dtype) const {
    return placed_ == Placed::anywhere ? empty(shape, {.dtype = dtype})
                                       : guarded_empty(shape, dtype, placed_);
  }
  Tensor copy(const Tensor& x) const { return room(x.shape(), x.dtype()).copy_(x); }
  /// An input; the same values in every run.
  Tensor normal(const Shape& shape, DType dtype) { return copy(randn(shape, generator_).to(dtype)); }
  /// The same above 0.1.
  Tensor positive(const Shape& shape, DType dtype) {
    Tensor x = rand(shape, generator_);
    return copy((x + 0.1).to(dtype));
  }

 private:
  Placed placed_;
  Generator generator_{1};
};

/// Runs `run(Memory&)`, which returns the outputs of kernels, in ordinary and in guarded memory: the bits
/// must be the same.
template <class F>
void check_guarded(F run) {
  const auto bytes_of = [&](Placed placed) {
    Memory memory(placed);
    std::vector<std::string> all;
    for (const Tensor& x : run(memory))
      all.emplace_back(static_cast<const char*>(x.data_ptr()),
                       static_cast<std::size_t>(x.numel()) * element_size(x.dtype()));
    return all;
  };
  const auto expected = bytes_of(Placed::anywhere);
  CHECK((bytes_of(Placed::at_the_end) == expected));
  CHECK((bytes_of(Placed::at_the_beginning) == expected));
}

}  // namespace karyon::test
