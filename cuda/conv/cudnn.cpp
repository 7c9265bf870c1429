#include <dlfcn.h>

#include <array>
#include <cstdlib>

#include <karyon/core/check.h>
#include <karyon/cuda/conv/cudnn.h>

namespace karyon::cuda::cudnn {
namespace {

struct Opened {
  Library functions;
  std::string why_not;
};

template <class Fn>
bool find(void* library, const char* name, Fn& fn, std::string& why_not) {
  fn = reinterpret_cast<Fn>(dlsym(library, name));
  if (!fn) why_not = std::string("libcudnn has no function ") + name;
  return fn != nullptr;
}

Opened open_library() {
  Opened opened;
  const char* named = std::getenv("KARYON_CUDNN");
  const char* file = named && *named ? named : "libcudnn.so.9";
  // The library is never closed: plans and handles may outlive any owner at exit.
  void* library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    opened.why_not = dlerror();
    return opened;
  }
  Library& f = opened.functions;
  std::string& why = opened.why_not;
  if (!(find(library, "cudnnGetVersion", f.get_version, why) &&
        find(library, "cudnnGetErrorString", f.get_error_string, why) &&
        find(library, "cudnnGetLastErrorString", f.get_last_error_string, why) &&
        find(library, "cudnnCreate", f.create, why) && find(library, "cudnnDestroy", f.destroy, why) &&
        find(library, "cudnnSetStream", f.set_stream, why) &&
        find(library, "cudnnBackendCreateDescriptor", f.create_descriptor, why) &&
        find(library, "cudnnBackendDestroyDescriptor", f.destroy_descriptor, why) &&
        find(library, "cudnnBackendSetAttribute", f.set_attribute, why) &&
        find(library, "cudnnBackendGetAttribute", f.get_attribute, why) &&
        find(library, "cudnnBackendFinalize", f.finalize, why) &&
        find(library, "cudnnBackendExecute", f.execute, why)))
    return opened;
  const std::size_t number = f.get_version();
  if (number < 90800 || number >= 100000)
    why = "expects cuDNN 9.8 or a later 9, " + std::string(file) + " is version " + std::to_string(number);
  return opened;
}

const Opened& opened_library() {
  static const Opened opened = open_library();
  return opened;
}

}  // namespace

const std::string& why_unavailable() { return opened_library().why_not; }

const Library& library() {
  check(why_unavailable().empty(), "cudnn: ", why_unavailable());
  return opened_library().functions;
}

std::string version() {
  const std::size_t number = library().get_version();
  return std::to_string(number / 10000) + "." + std::to_string(number / 100 % 100) + "." +
         std::to_string(number % 100);
}

void check_status(cudnnStatus_t status, const char* call, std::source_location where) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  std::array<char, 2048> message{};
  library().get_last_error_string(message.data(), message.size());
  std::string text = message.data();
  while (!text.empty() && text.back() == '\n') text.pop_back();
  check(false, "cudnn: ", call, " at ", where.file_name(), ":", where.line(), ": ",
        library().get_error_string(status), text.empty() ? "" : ": ", text);
}

Descriptor::Descriptor(cudnnBackendDescriptorType_t type, std::source_location where) {
  check_status(library().create_descriptor(type, &raw_), "cudnnBackendCreateDescriptor", where);
}

Descriptor::~Descriptor() {
  if (raw_) library().destroy_descriptor(raw_);
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, std::span<const Descriptor> values,
                            std::source_location where) {
  std::vector<cudnnBackendDescriptor_t> raws;
  for (const Descriptor& value : values) raws.push_back(value.raw_);
  return set_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, std::ssize(raws), raws.data(), where);
}

Descriptor& Descriptor::set_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                                std::int64_t count, const void* values, std::source_location where) {
  check_status(library().set_attribute(raw_, name, type, count, values), "cudnnBackendSetAttribute", where);
  return *this;
}

std::int64_t Descriptor::get_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                                 std::int64_t room, void* values, std::source_location where) const {
  std::int64_t count = 0;
  check_status(library().get_attribute(raw_, name, type, room, &count, values), "cudnnBackendGetAttribute",
               where);
  return count;
}

std::vector<Descriptor> Descriptor::get_all(cudnnBackendAttributeName_t name,
                                            cudnnBackendDescriptorType_t type,
                                            std::source_location where) const {
  std::int64_t count = get_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, nullptr, where);
  std::vector<Descriptor> values;
  std::vector<cudnnBackendDescriptor_t> raws;
  for (std::int64_t i = 0; i < count; ++i) raws.push_back(values.emplace_back(type, where).raw_);
  if (count > 0) count = get_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, raws.data(), where);
  while (std::ssize(values) > count) values.pop_back();
  return values;
}

void Descriptor::finalize(std::source_location where) {
  check_status(library().finalize(raw_), "cudnnBackendFinalize", where);
}

bool Descriptor::try_finalize() { return library().finalize(raw_) == CUDNN_STATUS_SUCCESS; }

Handle::Handle() { check_status(library().create(&raw_), "cudnnCreate"); }

Handle::~Handle() { library().destroy(raw_); }

void Handle::set_stream(cudaStream_t stream) {
  check_status(library().set_stream(raw_, stream), "cudnnSetStream");
}

Target::Target(const std::string& json) : properties_(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR) {
  properties_->set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, std::span(json.data(), json.size()));
  properties_->finalize();
}

void Target::set(Descriptor& descriptor, std::optional<cudnnBackendAttributeName_t> for_handle,
                 std::optional<cudnnBackendAttributeName_t> for_properties) const {
  if (properties_ && for_properties) descriptor.set(*for_properties, *properties_);
  if (!properties_ && for_handle) descriptor.set(*for_handle, handle_);
}

Descriptor tensor(std::int64_t uid, cudnnDataType_t type, std::int64_t n, std::int64_t h, std::int64_t w,
                  std::int64_t c, bool is_virtual) {
  // cuDNN names dimensions in the order n, c, h, w for every layout; the strides give the layout.
  const std::array<std::int64_t, 4> sizes{n, c, h, w}, strides{h * w * c, 1, w * c, c};
  Descriptor descriptor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  descriptor.set(CUDNN_ATTR_TENSOR_DATA_TYPE, type)
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, std::span(sizes))
      .set(CUDNN_ATTR_TENSOR_STRIDES, std::span(strides))
      .set(CUDNN_ATTR_TENSOR_UNIQUE_ID, uid)
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, std::int64_t{tensor_alignment})
      .set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, is_virtual);
  descriptor.finalize();
  return descriptor;
}

Descriptor pointwise(cudnnPointwiseMode_t mode, const Descriptor& in, const Descriptor* operand,
                     const Descriptor& out) {
  Descriptor function(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  function.set(CUDNN_ATTR_POINTWISE_MODE, mode).set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
  function.finalize();
  Descriptor operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, function)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, in)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, out);
  if (operand) operation.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *operand);
  operation.finalize();
  return operation;
}

std::vector<Descriptor> engine_configs(const Descriptor& graph, cudnnBackendHeurMode_t mode,
                                       const Target& target) {
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph).set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
  target.set(heuristics, {}, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP);  // a graph has its handle
  if (!heuristics.try_finalize()) return {};
  return heuristics.get_all(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
}

EngineNotes engine_notes(const Descriptor& engine_config) {
  const std::vector<Descriptor> engine =
      engine_config.get_all(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  check(engine.size() == 1, "cudnn: expects one engine in a configuration, got ", engine.size());
  return {.numerical = engine[0].get_all<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE),
          .behavior = engine[0].get_all<cudnnBackendBehaviorNote_t>(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE)};
}

std::optional<Plan> make_plan(Descriptor config, const Target& target) {
  Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
  target.set(plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP);
  if (!plan.try_finalize()) return std::nullopt;
  const auto workspace = plan.get<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
  return Plan{std::move(config), std::move(plan), static_cast<std::size_t>(workspace)};
}

void execute(const Handle& handle, const Plan& plan, std::span<const std::int64_t> uids,
             std::span<void* const> pointers, void* workspace) {
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, uids)
      .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, pointers)
      .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, workspace);
  pack.finalize();
  check_status(library().execute(handle.raw(), plan.plan.raw(), pack.raw()), "cudnnBackendExecute");
}

}  // namespace karyon::cuda::cudnn
