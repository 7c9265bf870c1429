// The backend's allocator by itself, with streams that core does not show.
#include <catch2/catch.hpp>

#include <karyon/cuda/allocator.h>
#include <karyon/cuda/context.h>
#include <karyon/cuda/error.h>
#include <karyon/cuda/workspace.h>

using namespace karyon;
using namespace karyon::cuda;

namespace {

struct Stream {
  Stream() { KARYON_CUDA_CHECK(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking)); }
  ~Stream() { (void)cudaStreamDestroy(handle); }
  cudaStream_t handle{};
};

constexpr std::size_t size = 1 << 20;

}  // namespace

TEST_CASE("allocator: the same stream gets a block again at once") {
  Allocator memory;
  const Stream a;
  void* first = memory.allocate(size, a.handle);
  memory.deallocate(first, a.handle);
  CHECK(memory.allocate(size - 100, a.handle) == first);
  CHECK(memory.stats().reserved == size);
  memory.deallocate(first, a.handle);
  memory.empty_cache();
  CHECK(memory.stats().reserved == 0);
}

TEST_CASE("allocator: another stream waits for what the first had to do with a block") {
  Allocator memory;
  const Stream a, b;
  void* first = memory.allocate(size, a.handle);
  KARYON_CUDA_CHECK(cudaMemsetAsync(first, 1, size, a.handle));
  memory.deallocate(first, a.handle);
  void* again = memory.allocate(size, b.handle);
  REQUIRE(again == first);
  KARYON_CUDA_CHECK(cudaMemsetAsync(again, 2, size, b.handle));
  std::vector<unsigned char> bytes(size);
  KARYON_CUDA_CHECK(cudaStreamSynchronize(b.handle));
  KARYON_CUDA_CHECK(cudaStreamSynchronize(a.handle));  // were it not waited for, its work would come now
  KARYON_CUDA_CHECK(cudaMemcpy(bytes.data(), again, size, cudaMemcpyDeviceToHost));
  CHECK(bytes == std::vector<unsigned char>(size, 2));
  memory.deallocate(again, b.handle);
  memory.empty_cache();
}

TEST_CASE("allocator: a block serves sizes down to two thirds of it, and the peak is kept") {
  Allocator memory;
  const Stream a;
  void* first = memory.allocate(3 * size, a.handle);
  memory.deallocate(first, a.handle);
  void* small = memory.allocate(size, a.handle);
  CHECK(small != first);
  void* near = memory.allocate(2 * size + 1, a.handle);
  CHECK(near == first);
  CHECK(memory.stats().current == 4 * size);
  CHECK(memory.stats().peak == 4 * size);
  memory.deallocate(small, a.handle);
  memory.deallocate(near, a.handle);
  CHECK(memory.stats().current == 0);
  CHECK(memory.stats().peak == 4 * size);
  memory.reset_peak();
  CHECK(memory.stats().peak == 0);
  memory.empty_cache();
}

TEST_CASE("allocator: unused blocks are given back before there is no memory left") {
  Allocator memory;
  const Stream a;
  std::size_t free = 0, total = 0;
  KARYON_CUDA_CHECK(cudaMemGetInfo(&free, &total));
  const std::size_t most = free / 8 * 5;
  memory.deallocate(memory.allocate(most, a.handle), a.handle);
  void* other = memory.allocate(free / 5 * 2, a.handle);  // too small for the block, too large beside it
  CHECK(memory.stats().reserved < most);
  memory.deallocate(other, a.handle);
  CHECK_THROWS_WITH(memory.allocate(total + size, a.handle), Catch::Contains("no memory left on the device"));
  memory.empty_cache();
}

TEST_CASE("workspace: scratch memory on the thread's stream, wherever a guard sends it") {
  const Stream a;
  const cudaStream_t before = context().stream;
  {
    const StreamGuard guard(a.handle);
    CHECK(context().stream == a.handle);
    Workspace scratch(1000), none(0);
    CHECK(reinterpret_cast<std::uintptr_t>(scratch.data<float>()) % 256 == 0);
    CHECK(none.data<float>() == nullptr);
  }
  CHECK(context().stream == before);
}
