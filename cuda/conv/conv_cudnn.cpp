// Convolutions through cuDNN: a plan per problem, made on first use and kept.
#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <unordered_map>

#include <karyon/core/kernels/conv.h>
#include <karyon/cuda/context.h>
#include <karyon/cuda/conv/conv_plan.h>
#include <karyon/cuda/environment.h>
#include <karyon/cuda/error.h>
#include <karyon/cuda/workspace.h>

namespace karyon::cuda {
namespace {

// ---- handles ----

// A thread borrows a handle and leaves it to the next one. No handle is destroyed: cuDNN must not be called
// at the end of a program.
class HandlePool {
 public:
  std::unique_ptr<cudnn::Handle> take() {
    const std::lock_guard lock(mutex_);
    if (handles_.empty()) return std::make_unique<cudnn::Handle>();
    auto handle = std::move(handles_.back());
    handles_.pop_back();
    return handle;
  }
  void give_back(std::unique_ptr<cudnn::Handle> handle) {
    const std::lock_guard lock(mutex_);
    handles_.push_back(std::move(handle));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<cudnn::Handle>> handles_;
};

HandlePool& handle_pool() {
  static auto* pool = new HandlePool;
  return *pool;
}

// The calling thread's handle, on its current stream. Throws Error if cuDNN cannot use this device.
cudnn::Handle& handle() {
  struct Borrowed {
    std::unique_ptr<cudnn::Handle> handle = handle_pool().take();
    ~Borrowed() { handle_pool().give_back(std::move(handle)); }
  };
  const cudaStream_t stream = context().stream;
  thread_local Borrowed borrowed;
  borrowed.handle->set_stream(stream);
  return *borrowed.handle;
}

// ---- plans ----

void run(const cudnn::Plan& plan, const ConvProblem& problem, const ConvPointers& pointers) {
  std::array<std::int64_t, 4> uids{};
  std::array<void*, 4> addresses{};
  std::size_t count = 0;
  const auto add = [&](ConvTensor tensor, const void* data) {
    uids[count] = static_cast<std::int64_t>(tensor);
    addresses[count++] = const_cast<void*>(data);
  };
  add(ConvTensor::x, pointers.x);
  add(ConvTensor::weight, pointers.weight);
  add(ConvTensor::y, pointers.y);
  if (problem.shift) add(ConvTensor::shift, pointers.shift);
  Workspace workspace(plan.workspace);
  cudnn::execute(handle(), plan, std::span(uids).first(count), std::span(addresses).first(count),
                 workspace.data<void>());
}

// The fastest of the plans, by the device's clock.
std::size_t fastest(const std::vector<cudnn::Plan>& plans, const ConvProblem& problem,
                    const ConvPointers& pointers) {
  struct Event {
    cudaEvent_t raw = nullptr;
    Event() { KARYON_CUDA_CHECK(cudaEventCreate(&raw)); }
    ~Event() { cudaEventDestroy(raw); }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
  } start, stop;
  constexpr int repeats = 5;
  std::size_t best = 0;
  float least = std::numeric_limits<float>::infinity();
  for (std::size_t i = 0; i < plans.size(); ++i) {
    run(plans[i], problem, pointers);  // the first run loads the kernel
    KARYON_CUDA_CHECK(cudaEventRecord(start.raw, context().stream));
    for (int r = 0; r < repeats; ++r) run(plans[i], problem, pointers);
    KARYON_CUDA_CHECK(cudaEventRecord(stop.raw, context().stream));
    KARYON_CUDA_CHECK(cudaEventSynchronize(stop.raw));
    float milliseconds = 0;
    KARYON_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, start.raw, stop.raw));
    if (milliseconds < least) {
      least = milliseconds;
      best = i;
    }
  }
  return best;
}

// The device that plans are built for, or the reason why cuDNN cannot use it.
struct Device {
  std::unique_ptr<const cudnn::Descriptor> properties;
  std::string why_not;
};

const Device& device() {
  static const auto* const instance = [] {
    auto* device = new Device;
    try {
      device->properties = std::make_unique<cudnn::Descriptor>(cudnn::device_properties(handle()));
    } catch (const Error& error) {
      device->why_not = error.what();
    }
    return device;
  }();
  return *instance;
}

struct Entry {
  std::unique_ptr<const cudnn::Plan> plan;
  std::string refusal;  // there is no plan
};

Entry make_entry(const ConvProblem& problem, const ConvPointers& pointers) {
  static const bool autotune = environment_flag("KARYON_CUDNN_AUTOTUNE");
  ConvPlans found;
  try {
    found =
        find_conv_plans(problem, *device().properties,
                        autotune ? ConvPlanSearch{.most = 8, .runtime_compiled = true} : ConvPlanSearch{});
  } catch (const Error& error) {
    return {.plan = nullptr, .refusal = error.what()};
  }
  if (found.plans.empty()) return {.plan = nullptr, .refusal = found.explain()};
  const std::size_t chosen = found.plans.size() > 1 ? fastest(found.plans, problem, pointers) : 0;
  return {.plan = std::make_unique<cudnn::Plan>(std::move(found.plans[chosen])), .refusal = {}};
}

// A plan is for one device and problem.
struct Key {
  int device;
  ConvProblem problem;
  friend bool operator==(const Key&, const Key&) = default;
};

struct KeyHash {
  std::size_t operator()(const Key& key) const {
    const ConvGeometry& g = key.problem.geometry;
    std::size_t hash = static_cast<std::size_t>(key.problem.direction);
    for (const std::int64_t size : {g.n, g.h, g.w, g.c, g.k, g.kernel.h, g.stride.h})
      hash = hash * 1000003 + static_cast<std::size_t>(size);
    return hash;
  }
};

const Entry& entry_for(const ConvProblem& problem, const ConvPointers& pointers) {
  static auto* mutex = new std::mutex;
  static auto* entries = new std::unordered_map<Key, Entry, KeyHash>;  // never destroyed, as the handles
  const Key key{context().device, problem};
  const std::lock_guard lock(*mutex);
  auto it = entries->find(key);
  if (it == entries->end()) it = entries->emplace(key, make_entry(problem, pointers)).first;
  return it->second;
}

bool aligned(const void* data) {
  return reinterpret_cast<std::uintptr_t>(data) % cudnn::tensor_alignment == 0;
}

}  // namespace

std::string conv_cudnn(const ConvProblem& problem, const ConvPointers& pointers) {
  if (!cudnn::why_unavailable().empty()) return cudnn::why_unavailable();
  if (problem.dtype != f32 && problem.dtype != bf16) return "expects f32 or bf16";
  const ConvGeometry& g = problem.geometry;
  if (g.n == 0) {  // cuDNN knows no empty tensors
    if (problem.direction == ConvDirection::backward_weight)
      KARYON_CUDA_CHECK(
          cudaMemsetAsync(const_cast<void*>(pointers.weight), 0,
                          static_cast<std::size_t>(g.k * g.kernel.h * g.kernel.w * (g.c / g.groups)) *
                              element_size(problem.dtype),
                          context().stream));
    return {};
  }
  if (!aligned(pointers.x) || !aligned(pointers.weight) || !aligned(pointers.y) || !aligned(pointers.shift))
    return "a tensor does not start at a multiple of " + std::to_string(cudnn::tensor_alignment) + " bytes";
  if (!device().properties) return device().why_not;
  const Entry& entry = entry_for(problem, pointers);
  if (!entry.plan) return entry.refusal;
  run(*entry.plan, problem, pointers);
  return {};
}

std::string cudnn_summary() {
  const std::string& why = cudnn::why_unavailable();
  return why.empty() ? "cuDNN " + cudnn::version() : "no cuDNN: " + why;
}

}  // namespace karyon::cuda
