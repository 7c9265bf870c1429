#pragma once
#include <cudnn.h>

#include <cstdint>
#include <optional>
#include <source_location>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

// cuDNN 9's graph interface (cudnnBackend*) with owners. The library is opened on first use, so programs also
// run without it.
namespace karyon::cuda::cudnn {

/// The functions of libcudnn that are used here.
struct Library {
  decltype(&cudnnGetVersion) get_version = nullptr;
  decltype(&cudnnGetErrorString) get_error_string = nullptr;
  decltype(&cudnnGetLastErrorString) get_last_error_string = nullptr;
  decltype(&cudnnCreate) create = nullptr;
  decltype(&cudnnDestroy) destroy = nullptr;
  decltype(&cudnnSetStream) set_stream = nullptr;
  decltype(&cudnnBackendCreateDescriptor) create_descriptor = nullptr;
  decltype(&cudnnBackendDestroyDescriptor) destroy_descriptor = nullptr;
  decltype(&cudnnBackendSetAttribute) set_attribute = nullptr;
  decltype(&cudnnBackendGetAttribute) get_attribute = nullptr;
  decltype(&cudnnBackendFinalize) finalize = nullptr;
  decltype(&cudnnBackendExecute) execute = nullptr;
};

/// Empty if libcudnn is usable, else the reason in one line. Opens it on the first call: the file that the
/// environment variable KARYON_CUDNN names, or libcudnn.so.9. Versions below 9.8 are refused: they cannot
/// plan from device properties.
const std::string& why_unavailable();

/// Throws Error with why_unavailable() where there is no libcudnn.
const Library& library();

/// "9.19.0".
std::string version();

/// Throws Error with the call, file:line, the status and cuDNN's last message unless `status` is success.
void check_status(cudnnStatus_t status, const char* call,
                  std::source_location where = std::source_location::current());

/// The attribute type of a C++ value.
template <class T>
inline constexpr cudnnBackendAttributeType_t attribute_type = [] {
  static_assert(sizeof(T) == 0, "not a type of a cuDNN attribute");
  return CUDNN_TYPE_INT64;
}();
template <>
inline constexpr auto attribute_type<std::int64_t> = CUDNN_TYPE_INT64;
template <>
inline constexpr auto attribute_type<bool> = CUDNN_TYPE_BOOLEAN;
template <>
inline constexpr auto attribute_type<char> = CUDNN_TYPE_CHAR;
template <>
inline constexpr auto attribute_type<float> = CUDNN_TYPE_FLOAT;
template <>
inline constexpr auto attribute_type<double> = CUDNN_TYPE_DOUBLE;
template <>
inline constexpr auto attribute_type<void*> = CUDNN_TYPE_VOID_PTR;
template <>
inline constexpr auto attribute_type<cudnnHandle_t> = CUDNN_TYPE_HANDLE;
template <>
inline constexpr auto attribute_type<cudnnDataType_t> = CUDNN_TYPE_DATA_TYPE;
template <>
inline constexpr auto attribute_type<cudnnConvolutionMode_t> = CUDNN_TYPE_CONVOLUTION_MODE;
template <>
inline constexpr auto attribute_type<cudnnBackendHeurMode_t> = CUDNN_TYPE_HEUR_MODE;
template <>
inline constexpr auto attribute_type<cudnnBackendNumericalNote_t> = CUDNN_TYPE_NUMERICAL_NOTE;
template <>
inline constexpr auto attribute_type<cudnnBackendBehaviorNote_t> = CUDNN_TYPE_BEHAVIOR_NOTE;
template <>
inline constexpr auto attribute_type<cudnnPointwiseMode_t> = CUDNN_TYPE_POINTWISE_MODE;

/// Owns one backend descriptor. Set its attributes, then finalize() it; what it refers to must stay alive.
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type,
                      std::source_location where = std::source_location::current());
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(raw_, other.raw_);
    return *this;
  }

  cudnnBackendDescriptor_t raw() const { return raw_; }

  /// Values, or other descriptors.
  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, const T& value,
                  std::source_location where = std::source_location::current()) {
    if constexpr (std::is_same_v<T, Descriptor>) {
      return set_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value.raw_, where);
    } else {
      return set_raw(name, attribute_type<T>, 1, &value, where);
    }
  }
  template <class T, std::size_t extent>
  Descriptor& set(cudnnBackendAttributeName_t name, std::span<T, extent> values,
                  std::source_location where = std::source_location::current()) {
    return set_raw(name, attribute_type<std::remove_const_t<T>>, static_cast<std::int64_t>(values.size()),
                   values.data(), where);
  }
  Descriptor& set(cudnnBackendAttributeName_t name, std::span<const Descriptor> values,
                  std::source_location where = std::source_location::current());

  /// An attribute of one value.
  template <class T>
  T get(cudnnBackendAttributeName_t name,
        std::source_location where = std::source_location::current()) const {
    T value{};
    get_raw(name, attribute_type<T>, 1, &value, where);
    return value;
  }
  /// An attribute of any number of values.
  template <class T>
  std::vector<T> get_all(cudnnBackendAttributeName_t name,
                         std::source_location where = std::source_location::current()) const {
    std::vector<T> values(static_cast<std::size_t>(get_raw(name, attribute_type<T>, 0, nullptr, where)));
    if (!values.empty()) get_raw(name, attribute_type<T>, std::ssize(values), values.data(), where);
    return values;
  }
  /// An attribute that is other descriptors, of the given type.
  std::vector<Descriptor> get_all(cudnnBackendAttributeName_t name, cudnnBackendDescriptorType_t type,
                                  std::source_location where = std::source_location::current()) const;

  void finalize(std::source_location where = std::source_location::current());
  /// Whether it could be finalized. cuDNN refuses to if it has no such plan.
  bool try_finalize();

 private:
  Descriptor& set_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
                      const void* values, std::source_location where);
  std::int64_t get_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t room,
                       void* values, std::source_location where) const;

  cudnnBackendDescriptor_t raw_ = nullptr;
};

/// A cuDNN handle for the current device.
class Handle {
 public:
  Handle();
  ~Handle();
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  cudnnHandle_t raw() const { return raw_; }
  /// Where plans run from now on.
  void set_stream(cudaStream_t stream);

 private:
  cudnnHandle_t raw_ = nullptr;
};

/// The device that plans are built for: a handle's, or an absent one that a JSON object describes.
class Target {
 public:
  /// The handle must outlive this and all plans.
  explicit Target(const Handle& handle) : handle_(handle.raw()) {}
  explicit Target(const std::string& json);

  /// Tells a descriptor, by the attribute for a handle or the one for properties, where it has one.
  void set(Descriptor& descriptor, std::optional<cudnnBackendAttributeName_t> for_handle,
           std::optional<cudnnBackendAttributeName_t> for_properties) const;

 private:
  cudnnHandle_t handle_ = nullptr;
  std::optional<Descriptor> properties_;
};

/// The alignment of tensors in bytes that plans may rely on. A tensor with less needs another path.
inline constexpr std::int64_t tensor_alignment = 16;

/// A tensor [n, h, w, c], channels last, of `type`; a virtual one lives only inside its graph.
Descriptor tensor(std::int64_t uid, cudnnDataType_t type, std::int64_t n, std::int64_t h, std::int64_t w,
                  std::int64_t c, bool is_virtual = false);

/// An elementwise operation in f32: out = mode(in, operand).
Descriptor pointwise(cudnnPointwiseMode_t mode, const Descriptor& in, const Descriptor* operand,
                     const Descriptor& out);

/// The engine configurations that cuDNN proposes for a graph, best first; empty if it has none.
std::vector<Descriptor> engine_configs(const Descriptor& graph, cudnnBackendHeurMode_t mode,
                                       const Target& target);

/// The engine's effects on the result, and its requirements.
struct EngineNotes {
  std::vector<cudnnBackendNumericalNote_t> numerical;
  std::vector<cudnnBackendBehaviorNote_t> behavior;
};
EngineNotes engine_notes(const Descriptor& engine_config);

/// An engine configuration made ready to run.
struct Plan {
  Descriptor config;
  Descriptor plan;
  std::size_t workspace = 0;  ///< bytes it needs while it runs
};

/// Makes a configuration ready, or returns nothing where cuDNN cannot.
std::optional<Plan> make_plan(Descriptor config, const Target& target);

/// Runs a plan on the handle's stream. `uids` are the tensors' numbers and `pointers` their addresses.
void execute(const Handle& handle, const Plan& plan, std::span<const std::int64_t> uids,
             std::span<void* const> pointers, void* workspace);

}  // namespace karyon::cuda::cudnn
