#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>

#include <nlohmann/json.hpp>

#include <karyon/core/atomic_file.h>
#include <karyon/core/format/input_file.h>
#include <karyon/core/format/stored_values.h>
#include <karyon/core/serialize.h>

namespace karyon {
namespace {

// A tensor of the file, as the header has it.
struct Entry {
  const StoredType* type = nullptr;  // null: none was given
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
    check_first(entry_->type == nullptr);
    entry_->type = stored_type(type);
    check(entry_->type != nullptr, where_, "tensor '", name_, "' has unsupported type ", type);
  }

  std::string where_, name_, key_;
  In in_ = In::file;
  Entry* entry_ = nullptr;
};

// Reads a file whose header gives the type, shape and place of each tensor. Every value is checked before
// use.
class SafetensorsReader {
 public:
  explicit SafetensorsReader(const std::filesystem::path& path)
      : in_("load", path, "a safetensors file"), where_(in_.where()) {}

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
    check(in_.bytes() >= sizeof length, where_, "not a safetensors file, or truncated");
    in_.read(0, &length, sizeof length);
    check(length <= in_.bytes() - 8 && length <= (std::uint64_t{100} << 20), where_,
          "not a safetensors file, or truncated");
    std::string text(length, '\0');
    in_.read(8, text.data(), length);
    data_begin_ = 8 + length;
    data_bytes_ = in_.bytes() - data_begin_;
    HeaderReader reader(where_);
    nlohmann::json::sax_parse(text, &reader);
    return std::move(reader.header);
  }

  // The tensor's bytes in the file.
  std::uint64_t checked_bytes(const std::string& name, const Entry& entry) {
    check(entry.type != nullptr, where_, "tensor '", name, "' has no dtype");
    check(entry.has_shape, where_, "tensor '", name, "' has no shape");
    check(entry.offset_count == 2, where_, "tensor '", name, "' has no data_offsets");
    const std::uint64_t bytes = stored_bytes(shape_of(entry), *entry.type);
    check(bytes <= data_bytes_, where_, "tensor '", name,
          "' does not fit in the file: truncated, or damaged");
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
    const std::uint64_t begin = data_begin_ + entry.offsets[0];
    const Shape shape = shape_of(entry);
    if (entry.type->convert != nullptr || bytes == 0) {
      std::vector<char> values(bytes);
      in_.read(begin, values.data(), bytes);
      return decode(*entry.type, {.shape = shape, .strides = packed_strides(shape)}, values,
                    where_ + "tensor '" + name + "': ");
    }
    Tensor x = empty(shape, {.dtype = entry.type->dtype});
    in_.read(begin, x.data_ptr(), bytes);
    return x;
  }

  static Shape shape_of(const Entry& entry) { return Shape(std::span(entry.sizes.data(), entry.dims)); }

  InputFile in_;
  const std::string& where_;
  std::uint64_t data_begin_ = 0, data_bytes_ = 0;
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
    header[name] = {{"dtype", stored_type(host.dtype()).name},
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
