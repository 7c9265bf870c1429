// Kernel times on a CUDA device, by its own clock, each with its fraction of the device's peak. Convolutions
// through cuDNN and through the hand-written kernel are in TFLOP/s, memory-bound families in GB/s.
// cuda_compare runs it beside PyTorch. Without a device it says so and exits with 77.
//
// The backend's objects are linked in, so that events can be recorded on the stream of its kernels. The
// plugin beside them gives tensors their memory.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <memory>

#include <karyon/core/cuda_plugin.h>
#include <karyon/core/kernels/activation.h>
#include <karyon/core/kernels/conv.h>
#include <karyon/core/kernels/elementwise.h>
#include <karyon/core/kernels/layout.h>
#include <karyon/core/kernels/loss.h>
#include <karyon/core/kernels/norm.h>
#include <karyon/core/kernels/optim.h>
#include <karyon/core/kernels/pool.h>
#include <karyon/core/kernels/resize.h>
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/loss.h>
#include <karyon/core/ops/norm.h>
#include <karyon/core/ops/pool.h>
#include <karyon/core/ops/resize.h>
#include <karyon/core/optim/adam.h>
#include <karyon/core/random.h>
#include <karyon/core/tensor.h>
#include <karyon/cuda/context.h>
#include <karyon/cuda/conv/conv.h>
#include <karyon/cuda/conv/conv_cudnn.h>
#include <karyon/cuda/error.h>

#include "conv_layers.h"

extern "C" auto karyon_cuda_kernel(const char* name) -> void (*)();

namespace karyon::bench {
namespace {

constexpr int skipped = 77;
constexpr int samples = 20, runs = 10;  // runs between two events: launches hide behind kernels

// ---- the device's peaks ----

int attribute(cudaDeviceAttr name) {
  int value = 0;
  KARYON_CUDA_CHECK(cudaDeviceGetAttribute(&value, name, 0));
  return value;
}

double bytes_per_second() {
  return 2e3 * attribute(cudaDevAttrMemoryClockRate) * attribute(cudaDevAttrGlobalMemoryBusWidth) / 8;
}

// The peak of dense products with sums in f32; 0 if this program does not know the architecture.
double flops_per_second(DType dtype) {
  const int version =
      10 * attribute(cudaDevAttrComputeCapabilityMajor) + attribute(cudaDevAttrComputeCapabilityMinor);
  struct Rate {
    int version, f32, bf16;  // flops per clock and multiprocessor
  };
  constexpr Rate rates[] = {{75, 128, 0}, {80, 128, 2048}, {86, 256, 512}, {89, 256, 512}, {90, 256, 4096}};
  for (const Rate& rate : rates)
    if (rate.version == version)
      return 1e3 * attribute(cudaDevAttrClockRate) * attribute(cudaDevAttrMultiProcessorCount) *
             (dtype == f32 ? rate.f32 : rate.bf16);
  return 0;
}

// ---- measuring ----

class Event {
 public:
  Event() { KARYON_CUDA_CHECK(cudaEventCreate(&raw_)); }
  ~Event() { cudaEventDestroy(raw_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record() { KARYON_CUDA_CHECK(cudaEventRecord(raw_, cuda::context().stream)); }
  /// Seconds from `start` to here, waiting for it.
  double since(const Event& start) {
    KARYON_CUDA_CHECK(cudaEventSynchronize(raw_));
    float milliseconds = 0;
    KARYON_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, start.raw_, raw_));
    return milliseconds * 1e-3;
  }

 private:
  cudaEvent_t raw_ = nullptr;
};

/// `prepare` returns the function to time. If it throws Error, the benchmark is skipped. `work` is bytes or
/// flops, `peak` the same per second.
void add(const std::string& name, const char* unit, double work, double peak,
         std::function<std::function<void()>()> prepare) {
  benchmark::RegisterBenchmark(
      name.c_str(),
      [=](benchmark::State& state) {
        try {
          const std::function<void()> run = prepare();
          KARYON_CUDA_CHECK(cudaDeviceSynchronize());  // tensors were filled on the plugin's stream
          Event start, stop;
          for (int i = 0; i < 3; ++i) run();
          for (auto _ : state) {
            start.record();
            for (int i = 0; i < runs; ++i) run();
            stop.record();
            state.SetIterationTime(stop.since(start) / runs);
          }
          using benchmark::Counter;
          state.counters[unit] = Counter(work * 1e-9, Counter::kIsRate);
          if (peak > 0) state.counters["of_peak"] = Counter(work / peak, Counter::kIsRate);
        } catch (const Error& error) {
          state.SkipWithError(error.what());
        }
      })
      ->Iterations(1)
      ->Repetitions(samples)
      ->ReportAggregatesOnly()
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
}

template <class K>
typename K::Fn kernel(const char* name) {
  const auto fn = reinterpret_cast<typename K::Fn>(karyon_cuda_kernel(name));
  check(fn != nullptr, name, ": no cuda kernel");
  return fn;
}

Tensor random(const Shape& shape, DType dtype = f32) {
  static Generator generator(1);
  return randn(shape, generator).to(dtype).to(Device::cuda());
}

// ---- convolutions ----

void add_convolutions() {
  for (const DType dtype : {f32, bf16})
    for (const Layer& layer : layers_3x3())
      for (const Pass pass : passes)
        for (const bool through_cudnn : {true, false}) {
          const ConvGeometry g{.n = layer_batch,
                               .h = layer.size,
                               .w = layer.size,
                               .c = layer.in,
                               .h_out = layer.size,
                               .w_out = layer.size,
                               .k = layer.out,
                               .kernel = layer.kernel,
                               .padding = layer.kernel / 2};
          const std::string name =
              layer.name(through_cudnn ? "cudnn" : "karyon", pass) + "/" + karyon::name(dtype);
          add(name, "GFLOP/s", layer.flops(), flops_per_second(dtype), [=]() -> std::function<void()> {
            Tensor x = random({g.n, g.h, g.w, g.c}, dtype), y = random({g.n, g.h_out, g.w_out, g.k}, dtype),
                   weight = random({g.k, g.kernel.h, g.kernel.w, g.c}, dtype);
            if (through_cudnn) {
              constexpr cuda::ConvDirection directions[] = {cuda::ConvDirection::forward,
                                                            cuda::ConvDirection::backward_data,
                                                            cuda::ConvDirection::backward_weight};
              const cuda::ConvProblem problem{
                  .direction = directions[static_cast<int>(pass)], .geometry = g, .dtype = dtype};
              return [=] {
                const std::string why = cuda::conv_cudnn(
                    problem, {.x = x.data_ptr(), .weight = weight.data_ptr(), .y = y.data_ptr()});
                check(why.empty(), why);
              };
            }
            return [=]() mutable {
              if (pass == Pass::forward) cuda::conv2d_gemm(g, x, weight, {}, y);
              if (pass == Pass::backward_data) cuda::conv2d_backward_data_gemm(g, y, weight, {}, x);
              if (pass == Pass::backward_weights) cuda::conv2d_backward_weight_gemm(g, x, y, weight);
            };
          });
        }
}

// ---- memory-bound families: bytes are what must be moved, each once ----

void add_memory_bound() {
  const Shape shape{16, 256, 256, 32};  // larger than any cache
  const double bytes = 4.0 * static_cast<double>(shape.numel()), peak = bytes_per_second();
  using Run = std::function<void()>;
  add("karyon/relu", "GB/s", 2 * bytes, peak, [=]() -> Run {
    return [x = random(shape), y = random(shape),
            run = kernel<decltype(kernels::activation)>("activation")]() mutable {
      run(kernels::Activation::relu, 0, 0, x, y);
    };
  });
  add("karyon/add", "GB/s", 3 * bytes, peak, [=]() -> Run {
    return
        [a = random(shape), b = random(shape), y = random(shape),
         run = kernel<decltype(kernels::binary)>("binary")]() mutable { run(kernels::Binary::add, a, b, y); };
  });
  add("karyon/batch_norm_statistics", "GB/s", bytes, peak, [=]() -> Run {
    return [x = random(shape), mean = random({32}), var = random({32}), m = random({32}), r = random({32}),
            run = kernel<decltype(kernels::batch_norm_statistics)>("batch_norm_statistics")]() mutable {
      run(x, 0.1, 1e-5, mean, var, m, r);
    };
  });
  add("karyon/batch_norm", "GB/s", 2 * bytes, peak, [=]() -> Run {
    return [x = random(shape), y = random(shape), weight = random({32}), bias = random({32}),
            mean = random({32}), rstd = random({32}),
            run = kernel<decltype(kernels::batch_norm)>("batch_norm")]() mutable {
      run(x, weight, bias, mean, rstd, true, y);
    };
  });
  // Two passes over dy and x cannot be one: the second needs the sums of the first.
  add("karyon/batch_norm_backward", "GB/s", 5 * bytes, peak, [=]() -> Run {
    return
        [dy = random(shape), x = random(shape), dx = random(shape), weight = random({32}),
         bias = random({32}), mean = random({32}), rstd = random({32}), dw = random({32}), db = random({32}),
         run = kernel<decltype(kernels::batch_norm_backward)>("batch_norm_backward")]() mutable {
          run(dy, x, weight, bias, mean, rstd, true, true, dx, dw, db);
        };
  });
  const Shape half{16, 128, 128, 32};
  add("karyon/max_pool2d", "GB/s", 1.25 * bytes, peak, [=]() -> Run {
    return [x = random(shape), y = random(half),
            run = kernel<decltype(kernels::max_pool2d)>("max_pool2d")]() mutable {
      Tensor nobody_asks;
      run(x, y, nobody_asks, {.kernel = 2, .stride = 2, .padding = 0, .dilation = 1});
    };
  });
  add("karyon/interpolate", "GB/s", 1.25 * bytes, peak, [=]() -> Run {
    return [x = random(half), y = random(shape),
            run = kernel<decltype(kernels::interpolate)>("interpolate")]() mutable {
      run(x, y, {.mode = InterpolateMode::bilinear});
    };
  });
  add("karyon/permute", "GB/s", 2 * bytes, peak, [=]() -> Run {
    return [x = random(shape), y = random({16, 32, 256, 256}),
            run = kernel<decltype(kernels::permute)>("permute")]() mutable {
      run(x, y, {0, 3, 1, 2});
    };
  });
  add("karyon/bce_with_logits", "GB/s", 2 * bytes, peak, [=]() -> Run {
    return [x = random(shape), target = random(shape), out = random({}),
            run = kernel<decltype(kernels::bce_with_logits)>("bce_with_logits")]() mutable {
      run(x, target, {}, {}, Reduction::mean, out);
    };
  });
  const kernels::AdamStep step{.lr = 1e-3,
                               .beta1 = 0.9,
                               .beta2 = 0.999,
                               .eps = 1e-8,
                               .weight_decay = 0,
                               .correction1 = 1,
                               .correction2 = 1,
                               .decoupled = false};
  add("karyon/adam_step", "GB/s", 7 * bytes, peak, [=]() -> Run {
    return [step, g = std::vector{random(shape)}, p = std::vector{random(shape)},
            m = std::vector{zeros(shape, {.device = Device::cuda()})},
            v = std::vector{zeros(shape, {.device = Device::cuda()})},
            run = kernel<decltype(kernels::adam_step)>("adam_step")]() mutable { run(step, g, p, m, v); };
  });
}

}  // namespace
}  // namespace karyon::bench

int main(int argc, char** argv) {
  using namespace karyon;
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status != cudaSuccess || devices == 0) {
    std::fprintf(stderr, "cuda_bench: no CUDA device, nothing is measured (%s)\n",
                 cudaGetErrorString(status));
    return bench::skipped;
  }
  if (const std::string why = why_unavailable(DeviceType::cuda); !why.empty()) {
    std::fprintf(stderr, "cuda_bench: %s\n", why.c_str());
    return 1;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("device", cuda::context().properties.name);
  benchmark::AddCustomContext("cudnn", cuda::cudnn_summary());
  benchmark::AddCustomContext("memory_gb_s", std::to_string(bench::bytes_per_second() * 1e-9));
  benchmark::AddCustomContext("f32_tflop_s", std::to_string(bench::flops_per_second(f32) * 1e-12));
  benchmark::AddCustomContext("bf16_tflop_s", std::to_string(bench::flops_per_second(bf16) * 1e-12));
  bench::add_convolutions();
  bench::add_memory_bound();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
