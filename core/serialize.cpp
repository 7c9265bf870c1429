#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <limits>
#include <span>
#include <system_error>
#include <utility>

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

// A tensor of the file, as the header has it.
struct Entry {
  DType dtype = f32;
  const ForeignType* foreign = nullptr;  // the type in the file, if Karyon has no such type
  std::size_t element = 0;               // bytes in the file; 0: no type was given
  std::array<std::int64_t, Shape::max_dims> sizes{};
  std::array<std::uint64_t, 2> offsets{};  // in the data: begin and end
  std::size_t dims = 0, offset_count = 0;
  bool has_shape = false;
};

struct Header {
  std::map<std::string, Entry> entries;
  std::map<std::string, std::string> metadata;
};

// Reads a header value by value and refuses the first one that does not belong there. Whatever the file
// holds, this takes little more memory than what it describes.
class HeaderReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(std::string where) : where_(std::move(where)) {}
  Header header;

  bool start_object(std::size_t) override {
    if (in_ == In::file) return in_ = In::header, true;
    check(in_ == In::header, where_, misplaced());
    if (name_ == "__metadata__") return in_ = In::metadata, true;
    const auto [at, added] = header.entries.try_emplace(name_);
    check(added, where_, "tensor '", name_, "' is there twice: damaged");
    check(header.entries.size() <= most_entries, where_, "more than ", most_entries, " tensors");
    entry_ = &at->second;
    return in_ = In::entry, true;
  }
  bool end_object() override {
    in_ = in_ == In::header ? In::file : In::header;
    return true;
  }
  bool start_array(std::size_t) override {
    check(in_ == In::entry && (key_ == "shape" || key_ == "data_offsets"), where_, misplaced());
    in_ = key_ == "shape" ? In::shape : In::offsets;
    check_first(in_ == In::shape ? !entry_->has_shape : entry_->offset_count == 0);
    if (in_ == In::shape) entry_->has_shape = true;
    return true;
  }
  bool end_array() override { return in_ = In::entry, true; }
  bool key(std::string& key) override {
    (in_ == In::header ? name_ : key_) = key;
    return true;
  }
  bool string(std::string& text) override {
    if (in_ == In::metadata) {
      header.metadata[key_] = text;
      check(header.metadata.size() <= most_entries, where_, "more than ", most_entries, " texts");
    } else if (in_ == In::entry && key_ == "dtype") {
      set_type(text);
    } else {
      pass_over();
    }
    return true;
  }
  bool number_unsigned(std::uint64_t number) override {
    if (in_ == In::shape) {
      check(entry_->dims < Shape::max_dims, where_, "tensor '", name_, "' has more than ", Shape::max_dims,
            " dimensions");
      check(number <= std::numeric_limits<std::int64_t>::max(), where_, "tensor '", name_,
            "' does not fit in the file: truncated, or damaged");
      entry_->sizes[entry_->dims++] = static_cast<std::int64_t>(number);
    } else if (in_ == In::offsets) {
      check(entry_->offset_count < 2, where_, "tensor '", name_, "' has no data_offsets");
      entry_->offsets[entry_->offset_count++] = number;
    } else {
      pass_over();
    }
    return true;
  }
  bool number_integer(std::int64_t) override { return pass_over(); }
  bool number_float(double, const std::string&) override { return pass_over(); }
  bool boolean(bool) override { return pass_over(); }
  bool null() override { return pass_over(); }
  bool binary(nlohmann::json::binary_t&) override { return pass_over(); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) override {
    throw Error(where_ + "not a safetensors file: its header is no JSON at byte " +
                std::to_string(8 + position));
  }

 private:
  enum class In { file, header, metadata, entry, shape, offsets };
  static constexpr std::size_t most_entries = 250'000;

  std::string misplaced() const {
    return "not a safetensors file: its header has another structure" +
           (name_.empty() ? "" : " at '" + name_ + "'");
  }
  // A tensor may have entries that are not known here.
  bool pass_over() const {
    check(in_ == In::entry, where_, misplaced());
    return true;
  }
  void check_first(bool is_first) const {
    check(is_first, where_, "tensor '", name_, "' has '", key_, "' twice: damaged");
  }
  void set_type(const std::string& type) {
    check_first(entry_->element == 0);
    for (const auto& [known, its_name] : dtype_names)
      if (type == its_name) entry_->dtype = known, entry_->element = element_size(known);
    for (const ForeignType& other : foreign_types)
      if (type == other.name)
        entry_->foreign = &other, entry_->dtype = other.dtype, entry_->element = other.bytes;
    check(entry_->element > 0, where_, "tensor '", name_, "' has unsupported type ", type);
  }

  std::string where_, name_, key_;
  In in_ = In::file;
  Entry* entry_ = nullptr;
};

// Reads a file whose header gives the type, shape and place of each tensor. Every value is checked before
// use.
class SafetensorsReader {
 public:
  explicit SafetensorsReader(const std::filesystem::path& path) : where_("load: " + path.string() + ": ") {
    std::error_code error;
    const std::filesystem::file_status status = std::filesystem::status(path, error);
    check(std::filesystem::exists(status), where_, "no such file");
    check(!std::filesystem::is_directory(status), where_, "is a folder, expected a safetensors file");
    check(std::filesystem::is_regular_file(status), where_,
          "is a pipe or a device, expected a safetensors file");
    errno = 0;
    in_.open(path, std::ios::binary);
    check(in_.good(), where_, reason(errno));
    file_bytes_ = std::filesystem::file_size(path, error);
    check(!error, where_, error.message());
  }

  TensorFile read() {
    Header header = read_header();
    for (const auto& [name, entry] : header.entries)
      check(entry.offset_count < 2 || entry.offsets[1] <= data_bytes_, where_, "tensor '", name,
            "' ends beyond the file: truncated, or damaged");
    TensorFile file{.metadata = std::move(header.metadata)};
    for (const auto& [name, entry] : header.entries) file.tensors.emplace(name, read_tensor(name, entry));
    return file;
  }

 private:
  Header read_header() {
    std::uint64_t length = 0;
    in_.read(reinterpret_cast<char*>(&length), sizeof length);
    check(in_.good() && length <= file_bytes_ - 8 && length <= (std::uint64_t{100} << 20), where_,
          "not a safetensors file, or truncated");
    std::string text(length, '\0');
    in_.read(text.data(), static_cast<std::streamsize>(length));
    check(in_.good(), where_, "truncated");
    data_begin_ = 8 + length;
    data_bytes_ = file_bytes_ - data_begin_;
    HeaderReader reader(where_);
    nlohmann::json::sax_parse(text, &reader);
    return std::move(reader.header);
  }

  // The tensor's bytes in the file.
  std::uint64_t checked_bytes(const std::string& name, const Entry& entry) {
    check(entry.element > 0, where_, "tensor '", name, "' has no dtype");
    check(entry.has_shape, where_, "tensor '", name, "' has no shape");
    check(entry.offset_count == 2, where_, "tensor '", name, "' has no data_offsets");
    const std::span sizes(entry.sizes.data(), entry.dims);
    const bool nothing = std::ranges::find(sizes, 0) != sizes.end();
    std::uint64_t bytes = nothing ? 0 : entry.element;
    for (const std::int64_t s : sizes) {
      check(nothing || bytes <= data_bytes_ / static_cast<std::uint64_t>(s), where_, "tensor '", name,
            "' does not fit in the file: truncated, or damaged");
      bytes *= static_cast<std::uint64_t>(s);
    }
    // Tensors do not overlap, so a small file cannot ask for a lot of memory.
    claimed_ += bytes;
    check(claimed_ <= data_bytes_, where_, "tensor '", name, "' overlaps another: damaged");
    const auto [begin, end] = entry.offsets;
    check(begin <= end && end <= data_bytes_ && end - begin == bytes, where_, "tensor '", name,
          "' does not fit in the file: truncated, or damaged");
    return bytes;
  }

  Tensor read_tensor(const std::string& name, const Entry& entry) {
    const std::uint64_t bytes = checked_bytes(name, entry);
    Tensor x = empty(Shape(std::span(entry.sizes.data(), entry.dims)), {.dtype = entry.dtype});
    std::vector<char> buffer(entry.foreign ? bytes : 0);
    in_.seekg(static_cast<std::streamoff>(data_begin_ + entry.offsets[0]));
    in_.read(entry.foreign ? buffer.data() : static_cast<char*>(x.data_ptr()),
             static_cast<std::streamsize>(bytes));
    check(in_.good(), where_, "truncated");
    if (entry.foreign) entry.foreign->widen(buffer.data(), x);
    if (entry.dtype == boolean) {  // any other byte would be undefined as a bool
      auto* raw = static_cast<std::uint8_t*>(x.data_ptr());
      for (std::uint64_t i = 0; i < bytes; ++i) raw[i] = raw[i] != 0;
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
  } catch (const nlohmann::json::exception&) {
    throw Error("save: " + path.string() + ": names and metadata must be UTF-8");
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

TensorFile load_safetensors(const std::filesystem::path& path) { return SafetensorsReader(path).read(); }

}  // namespace karyon
