#include <cstring>
#include <vector>

#include <karyon/core/atomic_file.h>
#include <karyon/core/format/input_file.h>
#include <karyon/core/format/npy.h>
#include <karyon/core/format/zip.h>
#include <karyon/core/io/numpy.h>

namespace karyon {
namespace {

constexpr std::string_view suffix = ".npy";

// As NumPy can hold it, on the CPU.
Tensor storable(const Tensor& x, const std::string& where) {
  check(x.defined(), where, "is undefined");
  const Tensor host = x.detach().to(Device::cpu());
  return host.dtype() == bf16 ? host.to(f32) : host;
}

std::size_t bytes_of(const Tensor& x) {
  return static_cast<std::size_t>(x.numel()) * element_size(x.dtype());
}

}  // namespace

Tensor load_npy(const std::filesystem::path& path) {
  InputFile file("load_npy", path, "an .npy file");
  std::vector<char> bytes(file.bytes());
  file.read(0, bytes.data(), bytes.size());
  return decode_npy(bytes, file.where());
}

void save_npy(const std::filesystem::path& path, const Tensor& x) {
  const Tensor host = storable(x, "save_npy: " + path.string() + ": the tensor ");
  const std::string header = npy_header(host);
  AtomicFile out(path);
  out.write(header.data(), header.size());
  out.write(host.data_ptr(), bytes_of(host));
  out.commit();
}

std::map<std::string, Tensor> load_npz(const std::filesystem::path& path) {
  InputFile file("load_npz", path, "an .npz file");
  ZipReader zip(file);
  for (const auto& [name, entry] : zip.entries())
    check(name.ends_with(suffix), file.where(), "holds '", name, "', expected arrays (", suffix, ") alone");
  std::map<std::string, Tensor> tensors;
  for (const auto& [name, entry] : zip.entries())
    tensors.emplace(name.substr(0, name.size() - suffix.size()),
                    decode_npy(zip.read(name), file.where() + "entry '" + name + "': "));
  return tensors;
}

void save_npz(const std::filesystem::path& path, const std::map<std::string, Tensor>& tensors) {
  const std::string where = "save_npz: " + path.string() + ": ";
  AtomicFile out(path);
  ZipWriter zip(out);
  for (const auto& [name, x] : tensors) {
    const Tensor host = storable(x, where + "tensor '" + name + "' ");
    const std::string header = npy_header(host);
    std::vector<char> bytes(header.size() + bytes_of(host));
    std::memcpy(bytes.data(), header.data(), header.size());
    if (host.numel() > 0) std::memcpy(bytes.data() + header.size(), host.data_ptr(), bytes_of(host));
    zip.add(name + std::string(suffix), bytes, where);
  }
  zip.finish();
  out.commit();
}

}  // namespace karyon
