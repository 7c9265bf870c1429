#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>

#include <nlohmann/json.hpp>

#include <karyon/core/atomic_file.h>
#include <karyon/core/serialize.h>

namespace karyon {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

const std::pair<DType, const char*> dtype_names[] = {{f32, "F32"}, {f64, "F64"}, {bf16, "BF16"},
                                                     {i64, "I64"}, {u8, "U8"},   {boolean, "BOOL"}};

std::string reason(int error) { return std::generic_category().message(error); }

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
  const std::string where = "load: " + path.string() + ": ";
  std::error_code error;
  check(std::filesystem::exists(path, error), where, "no such file");
  check(!std::filesystem::is_directory(path, error), where, "is a folder, expected a safetensors file");
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  check(in.good(), where, reason(errno));
  const std::uint64_t size = std::filesystem::file_size(path, error);
  check(!error, where, error.message());
  std::uint64_t length = 0;
  in.read(reinterpret_cast<char*>(&length), sizeof length);
  check(in.good() && length <= size - 8 && length <= (std::uint64_t{100} << 20), where,
        "not a safetensors file, or truncated");
  std::string text(length, '\0');
  in.read(text.data(), static_cast<std::streamsize>(length));
  check(in.good(), where, "truncated");
  const std::uint64_t data_bytes = size - 8 - length;

  TensorFile file;
  std::uint64_t claimed = 0;
  try {
    const nlohmann::json header = nlohmann::json::parse(text);
    check(header.is_object(), where, "not a safetensors file: the header is not an object");
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") {
        file.metadata = entry.get<std::map<std::string, std::string>>();
        continue;
      }
      const auto dtype_text = entry.at("dtype").get<std::string>();
      const std::pair<DType, const char*>* dtype = nullptr;
      for (const auto& known : dtype_names)
        if (dtype_text == known.second) dtype = &known;
      check(dtype != nullptr, where, "tensor '", name, "' has unsupported type ", dtype_text);
      const auto sizes = entry.at("shape").get<std::vector<std::int64_t>>();
      check(sizes.size() <= Shape::max_dims, where, "tensor '", name, "' has ", sizes.size(), " dimensions");
      const bool nothing = std::find(sizes.begin(), sizes.end(), 0) != sizes.end();
      std::uint64_t bytes = nothing ? 0 : element_size(dtype->first);
      for (const std::int64_t s : sizes) {
        check(s >= 0 && (nothing || bytes <= data_bytes / static_cast<std::uint64_t>(s)), where, "tensor '",
              name, "' does not fit in the file: truncated, or damaged");
        bytes *= static_cast<std::uint64_t>(s);
      }
      // Tensors do not overlap, so a small file cannot ask for a lot of memory.
      claimed += bytes;
      check(claimed <= data_bytes, where, "tensor '", name, "' overlaps another: damaged");
      const auto& offsets = entry.at("data_offsets");
      check(offsets.is_array() && offsets.size() == 2, where, "tensor '", name, "' has no data_offsets");
      const auto begin = offsets[0].get<std::uint64_t>(), end = offsets[1].get<std::uint64_t>();
      check(begin <= end && end <= data_bytes && end - begin == bytes, where, "tensor '", name,
            "' does not fit in the file: truncated, or damaged");
      Tensor x = empty(Shape(sizes), {.dtype = dtype->first});
      in.seekg(static_cast<std::streamoff>(8 + length + begin));
      in.read(static_cast<char*>(x.data_ptr()), static_cast<std::streamsize>(bytes));
      check(in.good(), where, "truncated");
      if (dtype->first == boolean) {  // any other byte would be undefined as a bool
        auto* raw = static_cast<std::uint8_t*>(x.data_ptr());
        for (std::uint64_t i = 0; i < bytes; ++i) raw[i] = raw[i] != 0;
      }
      file.tensors.emplace(name, std::move(x));
    }
  } catch (const nlohmann::json::exception& e) {
    throw Error(where + "not a safetensors file: " + e.what());
  }
  return file;
}

}  // namespace karyon
