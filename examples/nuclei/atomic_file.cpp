#include "atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "error.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path, int error) {
  std::string hint;
  if (error == ENOSPC || error == EDQUOT) hint = "; free some space or write elsewhere";
  if (error == EACCES || error == EPERM || error == EROFS)
    hint = "; choose a folder you may write to";
  if (error == ENOENT) hint = "; create the folder first";
  throw Failure("writing " + path.string() + ": " + std::generic_category().message(error) + hint);
}

/// An open file that is closed, and if it is temporary also removed, unless commit() got through.
class Output {
 public:
  explicit Output(const fs::path& path) : path_(path), target_(path) {
    std::error_code ignored;
    if (fs::is_symlink(path, ignored)) target_ = fs::weakly_canonical(path, ignored);
    const fs::file_status status = fs::status(target_, ignored);
    if (fs::is_directory(status)) fail(path_, EISDIR);
    direct_ = fs::exists(status) && !fs::is_regular_file(status);
    opened_ = direct_ ? target_ : temporary_name();
    const int flags = direct_ ? O_WRONLY : O_WRONLY | O_CREAT | O_EXCL;
    do {
      descriptor_ = ::open(opened_.c_str(), flags | O_CLOEXEC, 0666);
    } while (descriptor_ < 0 && errno == EINTR);
    if (descriptor_ < 0) fail(path_, errno);
  }

  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  ~Output() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!direct_ && !committed_) ::unlink(opened_.c_str());
  }

  void write(std::span<const std::uint8_t> bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
      if (written < 0 && errno != EINTR) fail(path_, errno);
      if (written > 0) bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  }

  void commit() {
    // Some network and quota file systems report a full disk only here.
    if (!direct_ && ::fsync(descriptor_) != 0) fail(path_, errno);
    if (::close(std::exchange(descriptor_, -1)) != 0) fail(path_, errno);
    if (!direct_ && ::rename(opened_.c_str(), target_.c_str()) != 0) fail(path_, errno);
    committed_ = true;
  }

 private:
  fs::path temporary_name() const {
    static std::atomic<unsigned> count = 0;
    fs::path name = target_;
    name += "." + std::to_string(::getpid()) + "-" + std::to_string(count++) + ".tmp";
    return name;
  }

  fs::path path_;    // as the caller wrote it, for messages
  fs::path target_;  // with a final symbolic link resolved
  fs::path opened_;  // what descriptor_ refers to
  int descriptor_ = -1;
  bool direct_ = false;
  bool committed_ = false;
};

}  // namespace

void write_file_atomically(const fs::path& path, std::span<const std::uint8_t> bytes) {
  Output output(path);
  output.write(bytes);
  output.commit();
}

void write_file_atomically(const fs::path& path, std::string_view text) {
  write_file_atomically(path,
                        std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
}

}  // namespace nuclei
