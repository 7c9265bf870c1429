#include "execution.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace cudnn_shim {
namespace {

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

}  // namespace

Execution::Execution(NodePtr graph, std::map<std::int64_t, void*> pointers, void* workspace,
                     std::int64_t workspace_bytes)
    : graph_(std::move(graph)),
      pointers_(std::move(pointers)),
      workspace_(workspace),
      workspace_bytes_(workspace_bytes) {
  const auto it = graph_->attributes.find(CUDNN_ATTR_OPERATIONGRAPH_OPS);
  if (it == graph_->attributes.end()) throw Failed{CUDNN_STATUS_BAD_PARAM, "the graph has no operations"};
  operations_ = it->second.nodes;
  for (const NodePtr& operation : operations_) prepare(*operation);
  if (workspace_bytes_ > 0 && !workspace_)
    throw Failed{CUDNN_STATUS_BAD_PARAM,
                 "the plan needs " + std::to_string(workspace_bytes_) + " bytes of workspace, got none"};
}

void Execution::prepare(const Node& operation) {
  switch (operation.type) {
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
      prepare_convolution(
          operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA);
      break;
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
      prepare_convolution(
          operation, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA);
      break;
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
      prepare_convolution(
          operation, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA);
      break;
    case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR: {
      const auto mode = pointwise_mode(operation);
      if (mode != CUDNN_POINTWISE_ADD && mode != CUDNN_POINTWISE_MUL && mode != CUDNN_POINTWISE_RELU_FWD)
        throw Failed{CUDNN_STATUS_NOT_SUPPORTED, "pointwise mode " + std::to_string(mode)};
      values(operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC);
      values(operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC).written = true;
      if (mode != CUDNN_POINTWISE_RELU_FWD) values(operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
      break;
    }
    default: throw Failed{CUDNN_STATUS_NOT_SUPPORTED, "operation of type " + std::to_string(operation.type)};
  }
}

Execution::~Execution() {
  for (auto& [node, value] : values_)
    if (value.memory) host_memory().give_back(value.memory);
}

void Execution::enqueue(cudaStream_t stream) {
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

void Execution::run() {
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
                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX);
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

cudnnPointwiseMode_t Execution::pointwise_mode(const Node& operation) {
  const NodePtr function = operation.node(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
  return function->value(CUDNN_ATTR_POINTWISE_MODE, CUDNN_POINTWISE_IDENTITY);
}

void Execution::prepare_convolution(const Node& operation, int x, int w, int y, int result, int alpha,
                                    int beta) {
  if (operation.value(alpha, 1.0f) != 1.0f || operation.value(beta, 0.0f) != 0.0f)
    throw Failed{CUDNN_STATUS_NOT_SUPPORTED, "a convolution with alpha other than 1 or beta other than 0"};
  for (const int name : {x, w, y}) values(operation, name);
  values(operation, result).written = true;
}

Values& Execution::values(const Node& operation, int name) {
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
void Execution::convolve(const Node& operation, int descriptor, int x_name, int w_name, int y_name,
                         int result_name) {
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

void Execution::apply_pointwise(const Node& operation) {
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

}  // namespace cudnn_shim
