#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include <karyon/core/atomic_file.h>
#include <karyon/core/check.h>

namespace karyon {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path, int error) {
  std::string hint;
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) hint = "; free some space or write elsewhere";
  if (error == EACCES || error == EPERM || error == EROFS) hint = "; choose a folder you may write to";
  if (error == ENOENT) hint = "; create the folder first";
  throw Error("writing " + path.string() + ": " + std::generic_category().message(error) + hint);
}

}  // namespace

AtomicFile::AtomicFile(const fs::path& path) : path_(path), target_(path) {
  std::error_code ignored;
  if (fs::is_symlink(path, ignored)) target_ = fs::weakly_canonical(path, ignored);
  const fs::file_status status = fs::status(target_, ignored);
  if (fs::is_directory(status)) fail(path_, EISDIR);
  direct_ = fs::exists(status) && !fs::is_regular_file(status);
  opened_ = target_;
  static std::atomic<unsigned> count = 0;
  if (!direct_) opened_ += "." + std::to_string(::getpid()) + "-" + std::to_string(count++) + ".tmp";
  const int flags = direct_ ? O_WRONLY : O_WRONLY | O_CREAT | O_EXCL;
  do {
    descriptor_ = ::open(opened_.c_str(), flags | O_CLOEXEC, 0666);
  } while (descriptor_ < 0 && errno == EINTR);
  if (descriptor_ < 0) fail(path_, errno);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!direct_ && !committed_) ::unlink(opened_.c_str());
}

void AtomicFile::write(const void* data, std::size_t bytes) {
  const auto* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor_, from, bytes);
    if (written < 0 && errno != EINTR) fail(path_, errno);
    if (written <= 0) continue;
    from += written;
    bytes -= static_cast<std::size_t>(written);
  }
}

void AtomicFile::commit() {
  // Some network and quota file systems report a full disk only here.
  if (!direct_ && ::fsync(descriptor_) != 0) fail(path_, errno);
  if (::close(std::exchange(descriptor_, -1)) != 0) fail(path_, errno);
  if (!direct_ && ::rename(opened_.c_str(), target_.c_str()) != 0) fail(path_, errno);
  committed_ = true;
}

}  // namespace karyon
