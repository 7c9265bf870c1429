// The backend's allocator, scratch memory and errors by themselves, which core does not show.
#include <catch2/catch.hpp>

#include <karyon/cuda/allocator.h>
#include <karyon/cuda/context.h>
#include <karyon/cuda/error.h>
#include <karyon/cuda/workspace.h>

using namespace karyon;
using namespace karyon::cuda;

namespace {

constexpr std::size_t size = 1 << 20;

}  // namespace

TEST_CASE("allocator: a block is handed out again at once") {
  Allocator memory;
  void* first = memory.allocate(size);
  memory.deallocate(first);
  CHECK(memory.allocate(size - 100) == first);
  CHECK(memory.stats().reserved == size);
  memory.deallocate(first);
  memory.empty_cache();
  CHECK(memory.stats().reserved == 0);
}

TEST_CASE("allocator: a block serves sizes down to two thirds of it, and the peak is kept") {
  Allocator memory;
  void* first = memory.allocate(3 * size);
  memory.deallocate(first);
  void* small = memory.allocate(size);
  CHECK(small != first);
  void* near = memory.allocate(2 * size + 1);
  CHECK(near == first);
  CHECK(memory.stats().current == 4 * size);
  CHECK(memory.stats().peak == 4 * size);
  memory.deallocate(small);
  memory.deallocate(near);
  CHECK(memory.stats().current == 0);
  CHECK(memory.stats().peak == 4 * size);
  memory.reset_peak();
  CHECK(memory.stats().peak == 0);
  memory.empty_cache();
}

TEST_CASE("allocator: unused blocks are given back before there is no memory left") {
  Allocator memory;
  std::size_t free = 0, total = 0;
  KARYON_CUDA_CHECK(cudaMemGetInfo(&free, &total));
  const std::size_t most = free / 8 * 5;
  memory.deallocate(memory.allocate(most));
  void* other = memory.allocate(free / 5 * 2);  // too small for the block, too large beside it
  CHECK(memory.stats().reserved < most);
  memory.deallocate(other);
  CHECK_THROWS_WITH(memory.allocate(total + size), Catch::Contains("no memory left on the device"));
  memory.empty_cache();
}

TEST_CASE("workspace: scratch memory that kernels can take vectors from") {
  Workspace scratch(1000), none(0);
  CHECK(reinterpret_cast<std::uintptr_t>(scratch.data<float>()) % 256 == 0);
  CHECK(none.data<float>() == nullptr);
}

TEST_CASE("errors name the operation, and say where an earlier one may be meant") {
  const Operation operation("outer");
  {
    const Operation inner("relu");
    CHECK_THROWS_WITH(
        KARYON_CUDA_CHECK(cudaErrorInvalidValue),
        Catch::Contains("cuda: relu: cudaErrorInvalidValue: ") && !Catch::Contains("CUDA_LAUNCH_BLOCKING"));
  }
  CHECK_THROWS_WITH(KARYON_CUDA_CHECK(cudaErrorIllegalAddress),
                    Catch::Contains("cuda: outer: ") && Catch::Contains("CUDA_LAUNCH_BLOCKING=1"));
}
