// A libcudnn for the emulator's tests. The real cuDNN validates every graph and plans it for a device that is
// not there; what is replaced is the launch: cudnnBackendExecute computes the graph by plain loops, in the
// order of its stream. KARYON_CUDNN names this library to the backend.
//
//   KARYON_EMU_CUDNN          the real library (default: the one of the build)
//   KARYON_EMU_CUDNN_DEVICE   a JSON file of device properties (default: the A100 that the emulator is)
//   KARYON_EMU_CUDNN_LOG=1    a line on stderr for each executed graph
//   KARYON_EMU_CUDNN_FAIL=n   the first n executions fail, as those of a plan may
//
// It proves that the graphs are what cuDNN takes and mean what the operation should; nothing about cuDNN's
// kernels.
#include <cuda_runtime_api.h>
#include <cudnn.h>
#include <dlfcn.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "execution.h"

using cudnn_shim::Attribute;
using cudnn_shim::Execution;
using cudnn_shim::Failed;
using cudnn_shim::Node;
using cudnn_shim::NodePtr;

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

// The pretended device, as cuDNN describes one; nullptr if it does not take the description.
Raw device_properties() {
  static const Raw properties = [] {
    const std::string json = device_json();
    Raw made = nullptr;
    const bool ok = KARYON_REAL(cudnnBackendCreateDescriptor)(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &made) ==
                        CUDNN_STATUS_SUCCESS &&
                    KARYON_REAL(cudnnBackendSetAttribute)(made, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                                          CUDNN_TYPE_CHAR, static_cast<int64_t>(json.size()),
                                                          json.data()) == CUDNN_STATUS_SUCCESS &&
                    KARYON_REAL(cudnnBackendFinalize)(made) == CUDNN_STATUS_SUCCESS;
    return ok ? made : nullptr;
  }();
  return properties;
}

cudnnStatus_t set_device(Raw descriptor, cudnnBackendAttributeName_t name) {
  Raw properties = device_properties();
  if (!properties) return fail(CUDNN_STATUS_BAD_PARAM, "the device's properties cannot be read");
  return KARYON_REAL(cudnnBackendSetAttribute)(descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                               &properties);
}

// Whether this execution is one of those that KARYON_EMU_CUDNN_FAIL asks to fail.
bool is_to_fail() {
  static std::atomic<long> left = [] {
    const char* text = std::getenv("KARYON_EMU_CUDNN_FAIL");
    return text ? std::strtol(text, nullptr, 10) : 0;
  }();
  return left.fetch_sub(1) > 0;
}

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
  // A handle stands for the pretended device. A plan names its properties; a graph needs none.
  if (name == CUDNN_ATTR_OPERATIONGRAPH_HANDLE) return CUDNN_STATUS_SUCCESS;
  if (name == CUDNN_ATTR_EXECUTION_PLAN_HANDLE)
    return set_device(descriptor, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP);
  // cuDNN asks for a device in the last step; a heuristics' is known when its graph is.
  if (name == CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH) {
    const cudnnStatus_t status = set_device(descriptor, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP);
    if (status != CUDNN_STATUS_SUCCESS) return status;
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
  if (is_to_fail()) return fail(CUDNN_STATUS_EXECUTION_FAILED, "asked to fail");
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
