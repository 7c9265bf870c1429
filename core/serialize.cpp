#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <limits>
#include <system_error>

#include <nlohmann/json.hpp>

#include <karyon/core/atomic_file.h>
#include <karyon/core/serialize.h>

namespace karyon {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

const std::pair<DType, const char*> dtype_names[] = {{f32, "F32"}, {f64, "F64"}, {bf16, "BF16"},
                                                     {i64, "I64"}, {u8, "U8"},   {boolean, "BOOL"}};

// Types in files of other programs that are read as a wider type.
float half_to_float(std::uint16_t half) {
  const auto exponent = (half >> 10) & 31, fraction = half & 1023;
  const float magnitude = exponent == 31  ? (fraction ? std::numeric_limits<float>::quiet_NaN()
                                                      : std::numeric_limits<float>::infinity())
                          : exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                          : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
  return half & 0x8000 ? -magnitude : magnitude;
}

template <class From, class To>
void widen(const char* from, Tensor& to) {
  To* out = to.data<To>();
  for (std::int64_t i = 0; i < to.numel(); ++i) {
    From value;
    std::memcpy(&value, from + static_cast<std::size_t>(i) * sizeof value, sizeof value);
    out[i] = static_cast<To>(value);
  }
}

void widen_half(const char* from, Tensor& to) {
  float* out = to.data<float>();
  for (std::int64_t i = 0; i < to.numel(); ++i) {
    std::uint16_t half;
    std::memcpy(&half, from + static_cast<std::size_t>(i) * sizeof half, sizeof half);
    out[i] = half_to_float(half);
  }
}

struct ForeignType {
  const char* name;
  std::size_t bytes;
  DType dtype;
  void (*widen)(const char* from, Tensor& to);
};
const ForeignType foreign_types[] = {{"F16", 2, f32, widen_half},
                                     {"I8", 1, i64, widen<std::int8_t, std::int64_t>},
                                     {"I16", 2, i64, widen<std::int16_t, std::int64_t>},
                                     {"I32", 4, i64, widen<std::int32_t, std::int64_t>},
                                     {"U16", 2, i64, widen<std::uint16_t, std::int64_t>},
                                     {"U32", 4, i64, widen<std::uint32_t, std::int64_t>}};

std::string reason(int error) { return std::generic_category().message(error); }

// Reads a file whose header gives the type, shape and place of each tensor. Every value is checked before
// use.
class SafetensorsReader {
 public:
  explicit SafetensorsReader(const std::filesystem::path& path) : where_("load: " + path.string() + ": ") {
    std::error_code error;
    check(std::filesystem::exists(path, error), where_, "no such file");
    check(!std::filesystem::is_directory(path, error), where_, "is a folder, expected a safetensors file");
    errno = 0;
    in_.open(path, std::ios::binary);
    check(in_.good(), where_, reason(errno));
    file_bytes_ = std::filesystem::file_size(path, error);
    check(!error, where_, error.message());
  }

  TensorFile read() {
    const nlohmann::json header = read_header();
    for (const auto& [name, entry] : header.items())
      if (name != "__metadata__" && entry.contains("data_offsets"))
        check(entry["data_offsets"].at(1).get<std::uint64_t>() <= data_bytes_, where_, "tensor '", name,
              "' ends beyond the file: truncated, or damaged");
    TensorFile file;
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__")
        file.metadata = entry.get<std::map<std::string, std::string>>();
      else
        file.tensors.emplace(name, read_tensor(check_entry(name, entry)));
    }
    return file;
  }

 private:
  struct Entry {
    DType dtype = f32;
    const ForeignType* foreign = nullptr;  // the type in the file, if Karyon has no such type
    std::vector<std::int64_t> sizes;
    std::uint64_t begin = 0, bytes = 0;  // in the data
  };

  nlohmann::json read_header() {
    std::uint64_t length = 0;
    in_.read(reinterpret_cast<char*>(&length), sizeof length);
    check(in_.good() && length <= file_bytes_ - 8 && length <= (std::uint64_t{100} << 20), where_,
          "not a safetensors file, or truncated");
    std::string text(length, '\0');
    in_.read(text.data(), static_cast<std::streamsize>(length));
    check(in_.good(), where_, "truncated");
    data_begin_ = 8 + length;
    data_bytes_ = file_bytes_ - data_begin_;
    nlohmann::json header = nlohmann::json::parse(text);
    check(header.is_object(), where_, "not a safetensors file: the header is not an object");
    return header;
  }

  Entry check_entry(const std::string& name, const nlohmann::json& json) {
    Entry entry;
    const auto type = json.at("dtype").get<std::string>();
    std::size_t element = 0;  // bytes in the file
    for (const auto& [known, its_name] : dtype_names)
      if (type == its_name) entry.dtype = known, element = element_size(known);
    for (const ForeignType& other : foreign_types)
      if (type == other.name) entry.foreign = &other, entry.dtype = other.dtype, element = other.bytes;
    check(element > 0, where_, "tensor '", name, "' has unsupported type ", type);
    entry.sizes = json.at("shape").get<std::vector<std::int64_t>>();
    check(entry.sizes.size() <= Shape::max_dims, where_, "tensor '", name, "' has ", entry.sizes.size(),
          " dimensions");
    const bool nothing = std::ranges::find(entry.sizes, 0) != entry.sizes.end();
    entry.bytes = nothing ? 0 : element;
    for (const std::int64_t s : entry.sizes) {
      check(s >= 0 && (nothing || entry.bytes <= data_bytes_ / static_cast<std::uint64_t>(s)), where_,
            "tensor '", name, "' does not fit in the file: truncated, or damaged");
      entry.bytes *= static_cast<std::uint64_t>(s);
    }
    // Tensors do not overlap, so a small file cannot ask for a lot of memory.
    claimed_ += entry.bytes;
    check(claimed_ <= data_bytes_, where_, "tensor '", name, "' overlaps another: damaged");
    const auto& offsets = json.at("data_offsets");
    check(offsets.is_array() && offsets.size() == 2, where_, "tensor '", name, "' has no data_offsets");
    entry.begin = offsets[0].get<std::uint64_t>();
    const auto end = offsets[1].get<std::uint64_t>();
    check(entry.begin <= end && end <= data_bytes_ && end - entry.begin == entry.bytes, where_, "tensor '",
          name, "' does not fit in the file: truncated, or damaged");
    return entry;
  }

  Tensor read_tensor(const Entry& entry) {
    Tensor x = empty(Shape(entry.sizes), {.dtype = entry.dtype});
    std::vector<char> buffer(entry.foreign ? entry.bytes : 0);
    in_.seekg(static_cast<std::streamoff>(data_begin_ + entry.begin));
    in_.read(entry.foreign ? buffer.data() : static_cast<char*>(x.data_ptr()),
             static_cast<std::streamsize>(entry.bytes));
    check(in_.good(), where_, "truncated");
    if (entry.foreign) entry.foreign->widen(buffer.data(), x);
    if (entry.dtype == boolean) {  // any other byte would be undefined as a bool
      auto* raw = static_cast<std::uint8_t*>(x.data_ptr());
      for (std::uint64_t i = 0; i < entry.bytes; ++i) raw[i] = raw[i] != 0;
    }
    return x;
  }

  std::string where_;
  std::ifstream in_;
  std::uint64_t file_bytes_ = 0, data_begin_ = 0, data_bytes_ = 0;
  std::uint64_t claimed_ = 0;  // bytes of the tensors so far
};

}  // namespace

void save_safetensors(const std::filesystem::path& path, const TensorFile& file) {
  nlohmann::json header = nlohmann::json::object();
  if (!file.metadata.empty()) header["__metadata__"] = file.metadata;
  std::uint64_t offset = 0;
  std::vector<Tensor> order;
  for (const auto& [name, value] : file.tensors) {
    check(value.defined(), "save: ", path.string(), ": tensor '", name, "' is undefined");
    check(name != "__metadata__", "save: ", path.string(), ": a tensor cannot be called __metadata__");
    const Tensor host = value.detach().to(Device::cpu());
    const std::uint64_t bytes = static_cast<std::uint64_t>(host.numel()) * element_size(host.dtype());
    const char* dtype = "";
    for (const auto& [type, text] : dtype_names)
      if (type == host.dtype()) dtype = text;
    header[name] = {{"dtype", dtype},
                    {"shape", std::vector<std::int64_t>(host.shape().begin(), host.shape().end())},
                    {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
    order.push_back(host);
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception& e) {
    throw Error("save: " + path.string() + ": names and metadata must be UTF-8: " + e.what());
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the data starts aligned

  AtomicFile out(path);
  const std::uint64_t length = text.size();
  out.write(&length, sizeof length);
  out.write(text.data(), text.size());
  for (const Tensor& x : order)
    out.write(x.data_ptr(), static_cast<std::size_t>(x.numel()) * element_size(x.dtype()));
  out.commit();
}

TensorFile load_safetensors(const std::filesystem::path& path) {
  SafetensorsReader reader(path);
  try {
    return reader.read();
  } catch (const nlohmann::json::exception& e) {
    throw Error("load: " + path.string() + ": not a safetensors file: " + e.what());
  }
}

}  // namespace karyon
