#include <algorithm>
#include <array>
#include <string_view>

#include <karyon/core/format/input_file.h>
#include <karyon/core/format/prefix.h>
#include <karyon/core/format/zip.h>
#include <karyon/core/io/numpy.h>
#include <karyon/core/io/pytorch.h>
#include <karyon/core/io/tensor_file.h>

namespace karyon {
namespace {

enum class Kind { safetensors, pytorch, npz };

Kind kind_of(const std::filesystem::path& path) {
  InputFile file("load", path, "a file of tensors");
  std::array<char, 4> start{};
  file.read(0, start.data(), std::min<std::uint64_t>(file.bytes(), start.size()));
  const std::string_view text(start.data(), start.size());
  if (text == "\x80\x02\x8a\x0a") return Kind::pytorch;  // before 1.6: refused by name
  if (text != "PK\x03\x04") return Kind::safetensors;
  const ZipReader zip(file);
  const bool has_arrays = std::ranges::all_of(
      zip.entries(), [](const auto& entry) { return std::string_view(entry.first).ends_with(".npy"); });
  return has_arrays ? Kind::npz : Kind::pytorch;
}

}  // namespace

TensorFile load_tensors(const std::filesystem::path& path, const std::string& prefix) {
  const Kind kind = kind_of(path);
  if (kind == Kind::pytorch) return load_pytorch(path, prefix);
  TensorFile file =
      kind == Kind::npz ? TensorFile{.tensors = load_npz(path), .metadata = {}} : load_safetensors(path);
  TensorFile found{.tensors = below(prefix, file.tensors), .metadata = below(prefix, file.metadata)};
  check_found("load: " + path.string() + ": ", prefix, found.tensors, file.tensors);
  return found;
}

}  // namespace karyon
