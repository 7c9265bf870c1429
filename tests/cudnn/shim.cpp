// A libcudnn for the emulator's tests. The real cuDNN validates every graph and plans it for a device that is
// not there; what is replaced is the launch: cudnnBackendExecute computes the graph by plain loops, in the
// order of its stream. KARYON_CUDNN names this library to the backend.
//
//   KARYON_EMU_CUDNN          the real library (default: the one of the build)
//   KARYON_EMU_CUDNN_DEVICE   a JSON file of device properties (default: A100, what the emulator pretends to
//   be) KARYON_EMU_CUDNN_LOG=1    a line on stderr for each executed graph
//
// It proves that the graphs are what cuDNN takes and mean what the operation should; nothing about cuDNN's
// kernels.
#include <cuda_runtime_api.h>
#include <cudnn.h>
#include <dlfcn.h>

#include <array>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace {

using Raw = cudnnBackendDescriptor_t;

// ---- the real library ----

thread_local std::string last_error;  // ours; empty when the real library's holds

template <class Fn>
Fn real(const char* name) {
  static void* library = [] {
    const char* file = std::getenv("KARYON_EMU_CUDNN");
    void* handle = dlopen(file && *file ? file : KARYON_REAL_CUDNN, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
      std::fprintf(stderr, "cudnn shim: %s\n", dlerror());
      std::abort();
    }
    return handle;
  }();
  return reinterpret_cast<Fn>(dlsym(library, name));
}
#define KARYON_REAL(function) real<decltype(&function)>(#function)

cudnnStatus_t fail(cudnnStatus_t status, const std::string& text) {
  last_error = "cudnn shim: " + text;
  return status;
}

// ---- what was said about each descriptor ----

struct Node;
using NodePtr = std::shared_ptr<Node>;

struct Attribute {
  std::vector<char> bytes;
  std::vector<NodePtr> nodes;  // where it is other descriptors
};

struct Node {
  cudnnBackendDescriptorType_t type;
  std::map<int, Attribute> attributes;

  template <class T>
  std::vector<T> values(int name) const {
    const auto it = attributes.find(name);
    if (it == attributes.end()) return {};
    std::vector<T> out(it->second.bytes.size() / sizeof(T));
    std::memcpy(out.data(), it->second.bytes.data(), out.size() * sizeof(T));
    return out;
  }
  template <class T>
  T value(int name, T otherwise) const {
    const std::vector<T> all = values<T>(name);
    return all.empty() ? otherwise : all[0];
  }
  NodePtr node(int name) const {
    const auto it = attributes.find(name);
    return it == attributes.end() || it->second.nodes.empty() ? nullptr : it->second.nodes[0];
  }
};

std::mutex mutex;

std::map<Raw, NodePtr>& nodes() {
  static auto* all = new std::map<Raw, NodePtr>;
  return *all;
}

NodePtr node_of(Raw raw) {
  const std::lock_guard lock(mutex);
  const auto it = nodes().find(raw);
  return it == nodes().end() ? nullptr : it->second;
}

std::size_t bytes_of(cudnnBackendAttributeType_t type) {
  switch (type) {
    case CUDNN_TYPE_BOOLEAN:
    case CUDNN_TYPE_CHAR: return 1;
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_DOUBLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR: return 8;
    default: return 4;
  }
}

std::string device_json() {
  const char* named = std::getenv("KARYON_EMU_CUDNN_DEVICE");
  std::ifstream file(named && *named ? named : KARYON_EMU_DEVICE_FILE);
  return {std::istreambuf_iterator<char>(file), {}};
}

// ---- the graph, computed ----

struct Failed {
  cudnnStatus_t status;
  std::string text;
};

// A tensor's values in the order n, h, w, c, whatever its strides; sums are kept in double until they are
// stored.
struct Values {
  std::int64_t n = 0, c = 0, h = 0, w = 0;
  std::array<std::int64_t, 4> strides{};  // n, c, h, w
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  void* device = nullptr;  // where it lies; nullptr: virtual
  bool written = false;    // by the graph
  void* memory = nullptr;  // its copy on the host
  std::vector<double> data;

  std::size_t bytes() const {
    const std::int64_t last =
        (n - 1) * strides[0] + (c - 1) * strides[1] + (h - 1) * strides[2] + (w - 1) * strides[3];
    return static_cast<std::size_t>(last + 1) * (type == CUDNN_DATA_FLOAT ? 4 : 2);
  }
  template <class F>
  void each(F f) {
    std::size_t i = 0;
    for (std::int64_t a = 0; a < n; ++a)
      for (std::int64_t y = 0; y < h; ++y)
        for (std::int64_t x = 0; x < w; ++x)
          for (std::int64_t d = 0; d < c; ++d)
            f(data[i++], a * strides[0] + d * strides[1] + y * strides[2] + x * strides[3]);
  }
  float rounded(double value) const {
    const auto f = static_cast<float>(value);
    if (type == CUDNN_DATA_FLOAT || f != f) return f;
    const auto u = std::bit_cast<std::uint32_t>(f);
    return std::bit_cast<float>((u + 0x7fffu + (u >> 16 & 1u)) & 0xffff0000u);
  }
  void load() {
    if (!memory) return;
    each([this](double& value, std::int64_t at) {
      if (type == CUDNN_DATA_FLOAT) {
        value = static_cast<const float*>(memory)[at];
      } else {
        value = std::bit_cast<float>(std::uint32_t{static_cast<const std::uint16_t*>(memory)[at]} << 16);
      }
    });
  }
  void store() {
    each([this](double& value, std::int64_t at) {
      const float f = rounded(value);
      value = f;
      if (!memory) return;
      if (type == CUDNN_DATA_FLOAT) {
        static_cast<float*>(memory)[at] = f;
      } else {
        static_cast<std::uint16_t*>(memory)[at] =
            static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(f) >> 16);
      }
    });
  }
};

// Pinned memory, so that copies are asynchronous; used again rather than freed, since freeing waits for the
// device.
class HostMemory {
 public:
  void* take(std::size_t bytes) {
    const auto it = free_.lower_bound(bytes);
    if (it != free_.end()) {
      const auto node = free_.extract(it);
      sizes_[node.mapped()] = node.key();
      return node.mapped();
    }
    void* memory = nullptr;
    if (cudaMallocHost(&memory, bytes) != cudaSuccess)
      throw Failed{CUDNN_STATUS_INTERNAL_ERROR, "cudaMallocHost"};
    sizes_[memory] = bytes;
    return memory;
  }
  void give_back(void* memory) { free_.emplace(sizes_.at(memory), memory); }

 private:
  std::multimap<std::size_t, void*> free_;
  std::map<void*, std::size_t> sizes_;
};

HostMemory& host_memory() {
  static auto* memory = new HostMemory;
  return *memory;
}

void expect(cudaError_t status, const char* call) {
  if (status != cudaSuccess)
    throw Failed{CUDNN_STATUS_EXECUTION_FAILED_CUDART, std::string(call) + ": " + cudaGetErrorString(status)};
}

class Execution {
 public:
  Execution(NodePtr graph, std::map<std::int64_t, void*> pointers, void* workspace,
            std::int64_t workspace_bytes)
      : graph_(std::move(graph)),
        pointers_(std::move(pointers)),
        workspace_(workspace),
        workspace_bytes_(workspace_bytes) {
    // Everything that could be wrong is found here, while the caller still listens.
    const auto it = graph_->attributes.find(CUDNN_ATTR_OPERATIONGRAPH_OPS);
    if (it == graph_->attributes.end()) throw Failed{CUDNN_STATUS_BAD_PARAM, "the graph has no operations"};
    operations_ = it->second.nodes;
    for (const NodePtr& operation : operations_) {
      switch (operation->type) {
        case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
          prepare_convolution(
              *operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA);
          break;
        case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
          prepare_convolution(
              *operation, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA);
          break;
        case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
          prepare_convolution(*operation, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA);
          break;
        case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR: {
          const auto mode = pointwise_mode(*operation);
          if (mode != CUDNN_POINTWISE_ADD && mode != CUDNN_POINTWISE_MUL && mode != CUDNN_POINTWISE_RELU_FWD)
            throw Failed{CUDNN_STATUS_NOT_SUPPORTED, "pointwise mode " + std::to_string(mode)};
          values(*operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC);
          values(*operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC).written = true;
          if (mode != CUDNN_POINTWISE_RELU_FWD) values(*operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
          break;
        }
        default:
          throw Failed{CUDNN_STATUS_NOT_SUPPORTED, "operation of type " + std::to_string(operation->type)};
      }
    }
    if (workspace_bytes_ > 0 && !workspace_)
      throw Failed{CUDNN_STATUS_BAD_PARAM,
                   "the plan needs " + std::to_string(workspace_bytes_) + " bytes of workspace, got none"};
  }

  ~Execution() {
    for (auto& [node, value] : values_)
      if (value.memory) host_memory().give_back(value.memory);
  }
  Execution(const Execution&) = delete;
  Execution& operator=(const Execution&) = delete;

  bool finished() const { return finished_; }

  void enqueue(cudaStream_t stream) {
    // A plan may write all of its workspace.
    if (workspace_bytes_ > 0)
      expect(cudaMemsetAsync(workspace_, 0xff, static_cast<std::size_t>(workspace_bytes_), stream),
             "cudaMemsetAsync");
    for (auto& [node, value] : values_) {
      if (!value.device) continue;
      value.memory = host_memory().take(value.bytes());
      if (!value.written)
        expect(cudaMemcpyAsync(value.memory, value.device, value.bytes(), cudaMemcpyDeviceToHost, stream),
               "cudaMemcpyAsync");
    }
    expect(cudaLaunchHostFunc(
               stream, [](void* self) { static_cast<Execution*>(self)->run(); }, this),
           "cudaLaunchHostFunc");
    for (auto& [node, value] : values_)
      if (value.device && value.written)
        expect(cudaMemcpyAsync(value.device, value.memory, value.bytes(), cudaMemcpyHostToDevice, stream),
               "cudaMemcpyAsync");
    expect(cudaLaunchHostFunc(
               stream, [](void* self) { static_cast<Execution*>(self)->finished_ = true; }, this),
           "cudaLaunchHostFunc");
  }

 private:
  void run() {
    for (const NodePtr& operation : operations_) {
      switch (operation->type) {
        case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
          convolve(*operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                   CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                   CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y);
          break;
        case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
          convolve(*operation, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX);
          break;
        case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
          convolve(
              *operation, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW);
          break;
        default: apply_pointwise(*operation);
      }
    }
    if (const char* log = std::getenv("KARYON_EMU_CUDNN_LOG"); log && *log == '1')
      std::fprintf(stderr, "cudnn shim (emulated): %zu operations, %lld bytes of workspace\n",
                   operations_.size(), static_cast<long long>(workspace_bytes_));
  }

  static cudnnPointwiseMode_t pointwise_mode(const Node& operation) {
    const NodePtr function = operation.node(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
    return function->value(CUDNN_ATTR_POINTWISE_MODE, CUDNN_POINTWISE_IDENTITY);
  }

  void prepare_convolution(const Node& operation, int x, int w, int y, int result, int alpha, int beta) {
    if (operation.value(alpha, 1.0f) != 1.0f || operation.value(beta, 0.0f) != 0.0f)
      throw Failed{CUDNN_STATUS_NOT_SUPPORTED, "a convolution with alpha other than 1 or beta other than 0"};
    for (const int name : {x, w, y}) values(operation, name);
    values(operation, result).written = true;
  }

  Values& values(const Node& operation, int name) {
    const NodePtr node = operation.node(name);
    if (!node) throw Failed{CUDNN_STATUS_BAD_PARAM, "an operation lacks attribute " + std::to_string(name)};
    const auto known = values_.find(node.get());
    if (known != values_.end()) return known->second;
    const auto sizes = node->values<std::int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS);
    const auto strides = node->values<std::int64_t>(CUDNN_ATTR_TENSOR_STRIDES);
    if (sizes.size() != 4 || strides.size() != 4)
      throw Failed{CUDNN_STATUS_NOT_SUPPORTED, "a tensor of " + std::to_string(sizes.size()) + " dimensions"};
    Values v{.n = sizes[0], .c = sizes[1], .h = sizes[2], .w = sizes[3]};
    std::copy(strides.begin(), strides.end(), v.strides.begin());
    v.type = node->value(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_DATA_FLOAT);
    if (v.type != CUDNN_DATA_FLOAT && v.type != CUDNN_DATA_BFLOAT16)
      throw Failed{CUDNN_STATUS_NOT_SUPPORTED, "data type " + std::to_string(v.type)};
    if (!node->value(CUDNN_ATTR_TENSOR_IS_VIRTUAL, char{0})) {
      const auto uid = node->value(CUDNN_ATTR_TENSOR_UNIQUE_ID, std::int64_t{-1});
      const auto found = pointers_.find(uid);
      if (found == pointers_.end() || !found->second)
        throw Failed{CUDNN_STATUS_BAD_PARAM,
                     "the variant pack has no pointer for tensor " + std::to_string(uid)};
      const auto alignment = node->value(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, std::int64_t{1});
      if (reinterpret_cast<std::uintptr_t>(found->second) % static_cast<std::uintptr_t>(alignment) != 0)
        throw Failed{CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER,
                     "tensor " + std::to_string(uid) + " is not aligned to " + std::to_string(alignment)};
      v.device = found->second;
    }
    return values_.emplace(node.get(), std::move(v)).first->second;
  }

  // The three directions are one loop nest over all products; they differ in what is summed.
  void convolve(const Node& operation, int descriptor, int x_name, int w_name, int y_name, int result_name) {
    const NodePtr convolution = operation.node(descriptor);
    const auto padding = convolution->values<std::int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS);
    const auto stride = convolution->values<std::int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES);
    const auto dilation = convolution->values<std::int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS);
    Values &x = values(operation, x_name), &w = values(operation, w_name), &y = values(operation, y_name),
           &result = values(operation, result_name);
    for (Values* v : {&x, &w, &y}) {
      v->data.resize(static_cast<std::size_t>(v->n * v->c * v->h * v->w));
      if (v != &result) v->load();
    }
    std::fill(result.data.begin(), result.data.end(), 0.0);
    const std::int64_t per_group = w.n / (x.c / w.c);  // filters
    for (std::int64_t n = 0; n < y.n; ++n)
      for (std::int64_t i = 0; i < y.h; ++i)
        for (std::int64_t j = 0; j < y.w; ++j)
          for (std::int64_t r = 0; r < w.h; ++r)
            for (std::int64_t s = 0; s < w.w; ++s) {
              const std::int64_t row = i * stride[0] + r * dilation[0] - padding[0];
              const std::int64_t column = j * stride[1] + s * dilation[1] - padding[1];
              if (row < 0 || row >= x.h || column < 0 || column >= x.w) continue;
              double* at_x = &x.data[static_cast<std::size_t>(((n * x.h + row) * x.w + column) * x.c)];
              double* at_y = &y.data[static_cast<std::size_t>(((n * y.h + i) * y.w + j) * y.c)];
              for (std::int64_t k = 0; k < w.n; ++k) {
                double* in = at_x + k / per_group * w.c;
                double* filter = &w.data[static_cast<std::size_t>(((k * w.h + r) * w.w + s) * w.c)];
                for (std::int64_t c = 0; c < w.c; ++c) {
                  if (&result == &y) {
                    at_y[k] += in[c] * filter[c];
                  } else if (&result == &x) {
                    in[c] += at_y[k] * filter[c];
                  } else {
                    filter[c] += at_y[k] * in[c];
                  }
                }
              }
            }
    result.store();
  }

  void apply_pointwise(const Node& operation) {
    const cudnnPointwiseMode_t mode = pointwise_mode(operation);
    Values &x = values(operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC),
           &y = values(operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC);
    if (x.data.empty()) {
      x.data.resize(static_cast<std::size_t>(x.n * x.c * x.h * x.w));
      x.load();
    }
    y.data = x.data;
    if (mode == CUDNN_POINTWISE_RELU_FWD) {
      for (double& value : y.data) value = value < 0 ? 0 : value;
    } else {
      Values& b = values(operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
      b.data.resize(static_cast<std::size_t>(b.n * b.c * b.h * b.w));
      b.load();
      for (std::size_t i = 0; i < y.data.size(); ++i) {
        const double operand = b.data[b.data.size() == y.data.size() ? i : i % b.data.size()];
        y.data[i] = mode == CUDNN_POINTWISE_ADD ? y.data[i] + operand : y.data[i] * operand;
      }
    }
    y.store();
  }

  NodePtr graph_;
  std::map<std::int64_t, void*> pointers_;
  void* workspace_;
  std::int64_t workspace_bytes_;
  std::vector<NodePtr> operations_;
  std::map<const Node*, Values> values_;
  bool finished_ = false;
};

// Those whose work may not be done yet.
std::vector<std::unique_ptr<Execution>>& executions() {
  static auto* all = new std::vector<std::unique_ptr<Execution>>;
  return *all;
}

}  // namespace

struct cudnnContext {
  cudaStream_t stream = nullptr;
};

// ---- the interface ----

#pragma GCC visibility push(default)
extern "C" {

size_t cudnnGetVersion() { return KARYON_REAL(cudnnGetVersion)(); }
const char* cudnnGetErrorString(cudnnStatus_t status) { return KARYON_REAL(cudnnGetErrorString)(status); }

void cudnnGetLastErrorString(char* message, size_t size) {
  if (last_error.empty()) return KARYON_REAL(cudnnGetLastErrorString)(message, size);
  std::snprintf(message, size, "%s", last_error.c_str());
  last_error.clear();
}

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  *handle = new cudnnContext;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  delete handle;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, Raw* descriptor) {
  const cudnnStatus_t status = KARYON_REAL(cudnnBackendCreateDescriptor)(type, descriptor);
  if (status == CUDNN_STATUS_SUCCESS) {
    const std::lock_guard lock(mutex);
    nodes()[*descriptor] = std::make_shared<Node>(Node{type, {}});
  }
  return status;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(Raw descriptor) {
  {
    const std::lock_guard lock(mutex);
    nodes().erase(descriptor);
  }
  return KARYON_REAL(cudnnBackendDestroyDescriptor)(descriptor);
}

cudnnStatus_t cudnnBackendSetAttribute(Raw descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, const void* values) {
  if (name == CUDNN_ATTR_DEVICEPROP_HANDLE) {
    const std::string json = device_json();
    if (json.empty()) return fail(CUDNN_STATUS_BAD_PARAM, "the device's properties cannot be read");
    return KARYON_REAL(cudnnBackendSetAttribute)(descriptor, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                                 CUDNN_TYPE_CHAR, static_cast<int64_t>(json.size()),
                                                 json.data());
  }
  const cudnnStatus_t status = KARYON_REAL(cudnnBackendSetAttribute)(descriptor, name, type, count, values);
  if (status != CUDNN_STATUS_SUCCESS) return status;
  Attribute attribute;
  if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    for (int64_t i = 0; i < count; ++i)
      attribute.nodes.push_back(node_of(static_cast<const Raw*>(values)[i]));
  } else {
    const auto* bytes = static_cast<const char*>(values);
    attribute.bytes.assign(bytes, bytes + static_cast<std::size_t>(count) * bytes_of(type));
  }
  if (const NodePtr node = node_of(descriptor)) node->attributes[name] = std::move(attribute);
  return status;
}

cudnnStatus_t cudnnBackendGetAttribute(Raw const descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t room, int64_t* count,
                                       void* values) {
  const cudnnStatus_t status =
      KARYON_REAL(cudnnBackendGetAttribute)(descriptor, name, type, room, count, values);
  // A configuration remembers its graph, so that a plan made of it can be computed.
  if (status == CUDNN_STATUS_SUCCESS && name == CUDNN_ATTR_ENGINEHEUR_RESULTS && values) {
    const NodePtr heuristics = node_of(descriptor);
    for (int64_t i = 0; i < *count && i < room; ++i)
      if (const NodePtr config = node_of(static_cast<const Raw*>(values)[i]))
        config->attributes[CUDNN_ATTR_ENGINE_OPERATION_GRAPH] =
            heuristics->attributes[CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH];
  }
  return status;
}

cudnnStatus_t cudnnBackendFinalize(Raw descriptor) { return KARYON_REAL(cudnnBackendFinalize)(descriptor); }

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, Raw plan, Raw pack) {
  const NodePtr plan_node = node_of(plan), pack_node = node_of(pack);
  const NodePtr config = plan_node ? plan_node->node(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG) : nullptr;
  const NodePtr graph = config ? config->node(CUDNN_ATTR_ENGINE_OPERATION_GRAPH) : nullptr;
  if (!graph || !pack_node) return fail(CUDNN_STATUS_BAD_PARAM, "the plan or the variant pack is unknown");
  int64_t workspace_bytes = 0, count = 0;
  KARYON_REAL(cudnnBackendGetAttribute)
  (plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count, &workspace_bytes);
  const auto uids = pack_node->values<std::int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  const auto addresses = pack_node->values<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
  if (uids.size() != addresses.size())
    return fail(CUDNN_STATUS_BAD_PARAM, "the variant pack has not as many pointers as tensors");
  std::map<std::int64_t, void*> pointers;
  for (std::size_t i = 0; i < uids.size(); ++i) pointers[uids[i]] = addresses[i];
  try {
    const std::lock_guard lock(mutex);
    std::erase_if(executions(), [](const auto& execution) { return execution->finished(); });
    executions().push_back(std::make_unique<Execution>(
        graph, pointers, pack_node->value<void*>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, nullptr),
        workspace_bytes));
    executions().back()->enqueue(handle->stream);
  } catch (const Failed& failed) {
    return fail(failed.status, failed.text);
  }
  return CUDNN_STATUS_SUCCESS;
}

}  // extern "C"
#pragma GCC visibility pop
