// Planted bugs: each kernel (or sequence of calls) has a right form and one with a typical mistake, in which
// the emulator must find what is wrong. usage: gpuemu_bugs right|wrong NAME; without arguments it lists the
// names.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstring>
#include <functional>
#include <vector>

namespace {

// ---- mistakes within a kernel; `wrong` is a template argument so that the right form has no trace of it

template <bool wrong>
__global__ void missing_barrier(const float* x, float* y) {
  __shared__ float s[256];
  s[threadIdx.x] = x[threadIdx.x];
  if (!wrong) __syncthreads();
  y[threadIdx.x] = s[(threadIdx.x + 32) & 255];
}

template <bool wrong>
__global__ void write_after_read(const float* x, float* y) {
  __shared__ float s[256];
  for (int i = 0; i < 2; ++i) {
    s[threadIdx.x] = x[threadIdx.x] + i;
    __syncthreads();
    y[threadIdx.x + 256 * i] = s[255 - threadIdx.x];
    if (!wrong) __syncthreads();
  }
}

template <bool wrong>
__global__ void missing_syncwarp(const float* x, float* y) {
  __shared__ float s[32];
  s[threadIdx.x] = x[threadIdx.x];
  if (!wrong) __syncwarp();
  y[threadIdx.x] = s[31 - threadIdx.x];
}

template <bool wrong>
__global__ void load_out_of_bounds(const float* x, float* y) {  // 128 elements each
  y[threadIdx.x] = x[threadIdx.x] + (wrong || threadIdx.x < 127 ? x[threadIdx.x + 1] : 0);
}

template <bool wrong>
__global__ void store_out_of_bounds(float* y) {  // 100 elements
  if (threadIdx.x < (wrong ? 101 : 100)) y[threadIdx.x] = 1;
}

template <bool wrong>
__global__ void shared_out_of_bounds(const float* x, float* y) {
  extern __shared__ float d[];  // 32 elements
  d[threadIdx.x + wrong] = x[threadIdx.x];
  __syncwarp();
  y[threadIdx.x] = d[threadIdx.x];
}

template <bool wrong>
__global__ void divergent_barrier(float* y) {
  if (!wrong) {
    __syncthreads();
    y[threadIdx.x] = 1;
  } else if (threadIdx.x < 16) {
    __syncthreads();
    y[threadIdx.x] = 1;
  } else {
    __syncthreads();
    y[threadIdx.x] = 2;
  }
}

template <bool wrong>
__global__ void unreached_barrier(float* y, int n) {
  const int i = threadIdx.x;
  if (wrong && i >= n) return;
  __syncthreads();
  if (i < n) y[i] = 1;
}

template <bool wrong>
__global__ void uneven_loop_barrier(float* y) {
  __shared__ float s[64];
  s[threadIdx.x] = 0;
  const int rounds = wrong ? 1 + threadIdx.x / 32 : 2;  // the second warp has one more
  for (int i = 0; i < rounds; ++i) {
    __syncthreads();
    s[threadIdx.x] += 1;
  }
  y[threadIdx.x] = s[threadIdx.x];
}

template <bool wrong>
__global__ void half_warp_shuffle(float* y) {
  float v = threadIdx.x;
  if (threadIdx.x < 16) v += __shfl_down_sync(wrong ? 0xffffffffu : 0xffffu, v, 1, 16);
  y[threadIdx.x] = v;
}

template <bool wrong>
__global__ void unwritten_shared(float* y) {
  __shared__ float s[64];
  if (threadIdx.x < (wrong ? 63 : 64)) s[threadIdx.x] = threadIdx.x;
  __syncthreads();
  y[threadIdx.x] = s[63 - threadIdx.x];
}

template <bool wrong>
__global__ void non_atomic_sum(const float* x, float* sum) {
  if (wrong)
    *sum += x[threadIdx.x];
  else
    atomicAdd(sum, x[threadIdx.x]);
}

template <bool wrong>
__global__ void non_atomic_sum_of_blocks(const float* x, float* sum) {
  if (threadIdx.x != 0) return;
  if (wrong)
    *sum += x[blockIdx.x];
  else
    atomicAdd(sum, x[blockIdx.x]);
}

template <bool wrong>
__global__ void read_of_other_block(float* y) {  // 2 blocks of 32
  const int i = blockIdx.x * 32 + threadIdx.x;
  y[i] = i;
  __syncthreads();
  y[64 + i] = wrong ? y[63 - i] : y[blockIdx.x * 32 + 31 - threadIdx.x];
}

template <bool wrong>
__global__ void misaligned_vector(const float* x, float4* y) {
  y[threadIdx.x] = *reinterpret_cast<const float4*>(x + wrong + 4 * threadIdx.x);
}

template <bool wrong>
__global__ void misaligned_shared_vector(const float* x, float4* y) {
  __shared__ float4 s[8];
  auto* f = reinterpret_cast<float*>(s);
  f[threadIdx.x] = x[threadIdx.x];
  __syncwarp();
  if (threadIdx.x < 7) y[threadIdx.x] = *reinterpret_cast<float4*>(f + 4 * threadIdx.x + wrong);
}

__device__ void copy_async(float* to, const float* from) {
  asm volatile(
      "cp.async.ca.shared.global [%0], [%1], 4;\n" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(to))),
      "l"(from));
  asm volatile("cp.async.commit_group;\n");
}

template <bool wrong>
__global__ void copy_not_waited_for(const float* x, float* y) {
  __shared__ float s[64];
  copy_async(&s[threadIdx.x], &x[threadIdx.x]);
  if (!wrong) asm volatile("cp.async.wait_group 0;\n");
  __syncthreads();
  y[threadIdx.x] = s[63 - threadIdx.x];
  asm volatile("cp.async.wait_all;\n");
}

template <bool wrong>
__global__ void copy_without_barrier(const float* x, float* y) {
  __shared__ float s[64];
  copy_async(&s[threadIdx.x], &x[threadIdx.x]);
  asm volatile("cp.async.wait_group 0;\n");
  if (!wrong) __syncthreads();
  y[threadIdx.x] = s[63 - threadIdx.x];
}

template <bool wrong>
__global__ void copy_into_what_is_read(const float* x, float* y) {  // two stages in one buffer
  __shared__ float s[64];
  for (int i = 0; i < 2; ++i) {
    copy_async(&s[threadIdx.x], &x[threadIdx.x]);
    asm volatile("cp.async.wait_group 0;\n");
    __syncthreads();
    y[64 * i + threadIdx.x] = s[63 - threadIdx.x];
    if (!wrong) __syncthreads();
  }
}

template <bool wrong>
__global__ void bytes_side_by_side(unsigned char* y) {
  __shared__ unsigned char s[64];  // neighbours in a word are no race
  s[threadIdx.x] = static_cast<unsigned char>(threadIdx.x);
  if (!wrong) __syncthreads();
  y[threadIdx.x] = s[63 - threadIdx.x];
}

// ---- mistakes of the host

__global__ void increment(float* x) { x[threadIdx.x] += 1; }
__global__ void fill(float* x, float value) { x[threadIdx.x] = value; }
__global__ void copy(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x]; }
__global__ void large(float* y) {
  extern __shared__ float d[];
  d[threadIdx.x] = 1;
  y[threadIdx.x] = d[threadIdx.x];
}

float* device(int n, bool written = true) {
  float* p = nullptr;
  cudaMalloc(&p, n * sizeof(float));
  const std::vector<float> values(n, 1.0f);
  if (written) cudaMemcpy(p, values.data(), n * sizeof(float), cudaMemcpyHostToDevice);
  return p;
}

int stale = 0;  // values that came too early

void use_after_free(bool wrong) {
  float* x = device(32);
  if (wrong) cudaFree(x);
  increment<<<1, 32>>>(x);
  cudaDeviceSynchronize();
  if (!wrong) cudaFree(x);
}

void use_after_free_in_stream(bool wrong) {
  float *x = device(32), *y = device(32);
  cudaStream_t stream;
  cudaStreamCreate(&stream);
  if (wrong) cudaFreeAsync(x, stream);
  copy<<<1, 32, 0, stream>>>(x, y);
  if (!wrong) cudaFreeAsync(x, stream);
  cudaStreamSynchronize(stream);
}

void freed_twice(bool wrong) {
  float* x = device(32);
  cudaFree(x);
  if (wrong) cudaFree(x);
}

void unwritten_device(bool wrong) {
  copy<<<1, 32>>>(device(32, !wrong), device(32));
  cudaDeviceSynchronize();
}

void copy_of_unwritten(bool wrong) {
  std::vector<float> host(32);
  cudaMemcpy(host.data(), device(32, !wrong), 32 * sizeof(float), cudaMemcpyDeviceToHost);
}

void copy_out_of_bounds(bool wrong) {
  std::vector<float> host(64);
  cudaMemcpy(host.data(), device(32), (wrong ? 33 : 32) * sizeof(float), cudaMemcpyDeviceToHost);
}

void big_block(bool wrong) {
  fill<<<1, wrong ? 2048 : 1024>>>(device(2048), 1.0f);
  cudaDeviceSynchronize();
}

void big_shared(bool wrong) {
  if (!wrong) cudaFuncSetAttribute(large, cudaFuncAttributeMaxDynamicSharedMemorySize, 64 << 10);
  large<<<1, 32, 64 << 10>>>(device(32));
  cudaDeviceSynchronize();
}

void streams_without_event(bool wrong) {
  float *x = device(32), *y = device(32);
  cudaStream_t first, second;
  cudaEvent_t event;
  cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking);
  cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking);
  cudaEventCreate(&event);
  fill<<<1, 32, 0, first>>>(x, 2.0f);
  cudaEventRecord(event, first);
  if (!wrong) cudaStreamWaitEvent(second, event);
  copy<<<1, 32, 0, second>>>(x, y);
  cudaDeviceSynchronize();
}

void buffer_reused_in_other_stream(bool wrong) {
  float *x = device(32), *y = device(32);
  cudaStream_t first, second;
  cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking);
  cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking);
  copy<<<1, 32, 0, first>>>(x, y);
  if (!wrong) cudaStreamSynchronize(first);
  fill<<<1, 32, 0, second>>>(x, 2.0f);
  cudaDeviceSynchronize();
}

void result_read_too_early(bool wrong) {
  float *x = device(32), *host = nullptr;
  cudaMallocHost(&host, 32 * sizeof(float));
  std::memset(host, 0, 32 * sizeof(float));
  cudaStream_t stream;
  cudaStreamCreate(&stream);
  increment<<<1, 32, 0, stream>>>(x);
  cudaMemcpyAsync(host, x, 32 * sizeof(float), cudaMemcpyDeviceToHost, stream);
  if (!wrong) cudaStreamSynchronize(stream);
  stale = host[0] != 2.0f;
  cudaStreamSynchronize(stream);
}

void pinned_buffer_reused(bool wrong) {
  float *x = device(32), *host = nullptr;
  cudaMallocHost(&host, 32 * sizeof(float));
  cudaStream_t stream;
  cudaStreamCreate(&stream);
  for (int i = 0; i < 32; ++i) host[i] = 5;
  cudaMemcpyAsync(x, host, 32 * sizeof(float), cudaMemcpyHostToDevice, stream);
  if (!wrong) cudaStreamSynchronize(stream);
  for (int i = 0; i < 32; ++i) host[i] = 6;
  std::vector<float> back(32);
  cudaStreamSynchronize(stream);
  cudaMemcpy(back.data(), x, 32 * sizeof(float), cudaMemcpyDeviceToHost);
  stale = back[0] != 5.0f;
}

struct Bug {
  const char* name;
  std::function<void(bool wrong)> run;
};

#define KERNEL_BUG(name, grid, block, shared, ...)                            \
  {                                                                           \
#name, [](bool is_wrong) {                                                  \
      if (is_wrong) name<true><<<grid, block, shared>>>(__VA_ARGS__);           \
      else name<false><<<grid, block, shared>>>(__VA_ARGS__);                   \
      cudaDeviceSynchronize();                                                  \
    } \
  }
#define HOST_BUG(name) \
  { #name, name }

const Bug bugs[] = {
    KERNEL_BUG(missing_barrier, 1, 256, 0, device(256), device(256)),
    KERNEL_BUG(write_after_read, 1, 256, 0, device(256), device(512)),
    KERNEL_BUG(missing_syncwarp, 1, 32, 0, device(32), device(32)),
    KERNEL_BUG(load_out_of_bounds, 1, 128, 0, device(128), device(128)),
    KERNEL_BUG(store_out_of_bounds, 1, 128, 0, device(100)),
    KERNEL_BUG(shared_out_of_bounds, 1, 32, 128, device(32), device(32)),
    KERNEL_BUG(divergent_barrier, 1, 32, 0, device(32)),
    KERNEL_BUG(unreached_barrier, 1, 32, 0, device(32), 20),
    KERNEL_BUG(uneven_loop_barrier, 1, 64, 0, device(64)),
    KERNEL_BUG(half_warp_shuffle, 1, 32, 0, device(32)),
    KERNEL_BUG(unwritten_shared, 1, 64, 0, device(64)),
    KERNEL_BUG(non_atomic_sum, 1, 64, 0, device(64), device(1)),
    KERNEL_BUG(non_atomic_sum_of_blocks, 4, 32, 0, device(4), device(1)),
    KERNEL_BUG(read_of_other_block, 2, 32, 0, device(128)),
    KERNEL_BUG(misaligned_vector, 1, 16, 0, device(68), reinterpret_cast<float4*>(device(64))),
    KERNEL_BUG(misaligned_shared_vector, 1, 32, 0, device(32), reinterpret_cast<float4*>(device(32))),
    KERNEL_BUG(copy_not_waited_for, 1, 64, 0, device(64), device(64)),
    KERNEL_BUG(copy_without_barrier, 1, 64, 0, device(64), device(64)),
    KERNEL_BUG(copy_into_what_is_read, 1, 64, 0, device(64), device(128)),
    KERNEL_BUG(bytes_side_by_side, 1, 64, 0, reinterpret_cast<unsigned char*>(device(16))),
    HOST_BUG(use_after_free),
    HOST_BUG(use_after_free_in_stream),
    HOST_BUG(freed_twice),
    HOST_BUG(unwritten_device),
    HOST_BUG(copy_of_unwritten),
    HOST_BUG(copy_out_of_bounds),
    HOST_BUG(big_block),
    HOST_BUG(big_shared),
    HOST_BUG(streams_without_event),
    HOST_BUG(buffer_reused_in_other_stream),
    HOST_BUG(result_read_too_early),
    HOST_BUG(pinned_buffer_reused),
};

}  // namespace

int main(int argc, char** argv) {
  for (const Bug& bug : bugs) {
    if (argc < 3)
      std::printf("%s\n", bug.name);
    else if (std::strcmp(argv[2], bug.name) == 0) {
      bug.run(std::strcmp(argv[1], "wrong") == 0);
      if (stale != 0) std::fprintf(stderr, "stale value\n");
      return stale;
    }
  }
  return argc < 3 ? 0 : 2;
}
