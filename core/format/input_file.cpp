#include <cerrno>
#include <system_error>

#include <karyon/core/check.h>
#include <karyon/core/format/input_file.h>

namespace karyon {

InputFile::InputFile(const std::string& op, const std::filesystem::path& path, const std::string& kind)
    : where_(op + ": " + path.string() + ": ") {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  check(std::filesystem::exists(status), where_, "no such file");
  check(!std::filesystem::is_directory(status), where_, "is a folder, expected ", kind);
  check(std::filesystem::is_regular_file(status), where_, "is a pipe or a device, expected ", kind);
  errno = 0;
  in_.open(path, std::ios::binary);
  check(in_.good(), where_, std::generic_category().message(errno));
  bytes_ = std::filesystem::file_size(path, error);
  check(!error, where_, error.message());
}

void InputFile::read(std::uint64_t offset, void* to, std::uint64_t count) {
  check(offset <= bytes_ && count <= bytes_ - offset, where_, "truncated");
  in_.seekg(static_cast<std::streamoff>(offset));
  in_.read(static_cast<char*>(to), static_cast<std::streamsize>(count));
  check(in_.good(), where_, "truncated");
}

}  // namespace karyon
