// Convolutions through cuDNN: a plan per problem, made on first use and kept.
#include <array>
#include <cstdint>
#include <map>
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

// Puts the plans that run in the order of their time, by the device's clock, and drops the others.
void sort_by_time(std::vector<cudnn::Plan>& plans, const ConvProblem& problem, const ConvPointers& pointers) {
  struct Event {
    cudaEvent_t raw = nullptr;
    Event() { KARYON_CUDA_CHECK(cudaEventCreate(&raw)); }
    ~Event() { cudaEventDestroy(raw); }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
  } start, stop;
  constexpr int repeats = 5;
  std::multimap<float, cudnn::Plan> by_time;
  for (cudnn::Plan& plan : plans) {
    try {
      run(plan, problem, pointers);  // the first run loads the kernel
      KARYON_CUDA_CHECK(cudaEventRecord(start.raw, context().stream));
      for (int r = 0; r < repeats; ++r) run(plan, problem, pointers);
      KARYON_CUDA_CHECK(cudaEventRecord(stop.raw, context().stream));
      KARYON_CUDA_CHECK(cudaEventSynchronize(stop.raw));
      float milliseconds = 0;
      KARYON_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, start.raw, stop.raw));
      by_time.emplace(milliseconds, std::move(plan));
    } catch (const Error&) {
      // It would fail later, too.
    }
  }
  plans.clear();
  for (auto& timed : by_time) plans.push_back(std::move(timed.second));
}

// The device that plans are built for, or the reason why cuDNN cannot use it.
struct Device {
  std::unique_ptr<const cudnn::Target> target;
  std::string why_not;
};

const Device& device() {
  static const auto* const instance = [] {
    auto* device = new Device;
    try {
      device->target = std::make_unique<cudnn::Target>(*new cudnn::Handle);  // plans outlive any owner
    } catch (const Error& error) {
      device->why_not = error.what();
    }
    return device;
  }();
  return *instance;
}

// What is known of a problem. A plan that fails to run is replaced: cuDNN accepts some that a device then refuses,
// or that find no memory for their workspace.
class Entry {
 public:
  // Runs the convolution and returns an empty string, or the reason why no plan does.
  std::string run(const ConvProblem& problem, const ConvPointers& pointers) {
    const std::lock_guard lock(mutex_);
    if (plans_.empty() && refusal_.empty()) search(problem, pointers, ConvPlanSearch{});
    while (!plans_.empty()) {
      try {
        cuda::run(plans_.front(), problem, pointers);
        return {};
      } catch (const Error& error) {
        refusal_ = error.what();
        drop_first(problem, pointers);
      }
    }
    return refusal_;
  }

  bool refused() {
    const std::lock_guard lock(mutex_);
    return plans_.empty() && !refusal_.empty();
  }

 private:
  static constexpr std::size_t most = 8;

  void search(const ConvProblem& problem, const ConvPointers& pointers, ConvPlanSearch options) {
    static const bool autotune = environment_flag("KARYON_CUDNN_AUTOTUNE");
    if (autotune) options = {.most = most, .runtime_compiled = true};
    try {
      ConvPlans found = find_conv_plans(problem, *device().target, options);
      if (found.plans.empty() && refusal_.empty()) refusal_ = found.explain();
      plans_ = std::move(found.plans);
      if (autotune) sort_by_time(plans_, problem, pointers);
    } catch (const Error& error) {
      refusal_ = error.what();
    }
  }

  // The first search stops at one plan; the others are asked for when it fails.
  void drop_first(const ConvProblem& problem, const ConvPointers& pointers) {
    if (!searched_all_ && plans_.size() == 1) search(problem, pointers, {.most = most});
    searched_all_ = true;
    if (!plans_.empty()) plans_.erase(plans_.begin());
  }

  std::mutex mutex_;
  std::vector<cudnn::Plan> plans_;  // best first; empty if there is none, or nobody asked yet
  std::string refusal_;             // why there is no plan, or why the last one failed
  bool searched_all_ = false;
};

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

// The entries of this process, never destroyed, as the handles. A program whose images have ever new sizes
// starts anew when there are too many.
std::shared_ptr<Entry> entry_for(const ConvProblem& problem) {
  constexpr std::size_t most = 1024;
  static auto* mutex = new std::mutex;
  static auto* entries = new std::unordered_map<Key, std::shared_ptr<Entry>, KeyHash>;
  const Key key{context().device, problem};
  const std::lock_guard lock(*mutex);
  if (const auto it = entries->find(key); it != entries->end()) return it->second;
  if (entries->size() >= most) entries->clear();
  return entries->emplace(key, std::make_shared<Entry>()).first->second;
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
  if (!device().target) return device().why_not;
  return entry_for(problem)->run(problem, pointers);
}

bool conv_cudnn_refused(const ConvProblem& problem) {
  return cudnn::why_unavailable().empty() && device().target && entry_for(problem)->refused();
}

std::string cudnn_summary() {
  const std::string& why = cudnn::why_unavailable();
  return why.empty() ? "cuDNN " + cudnn::version() : "no cuDNN: " + why;
}

}  // namespace karyon::cuda
