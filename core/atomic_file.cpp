#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <karyon/core/atomic_file.h>
#include <karyon/core/check.h>

namespace karyon {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view before_number = ".karyon-", after_number = ".tmp";
constexpr int most_writers = 1000;  // of one file at a time

[[noreturn]] void fail(const fs::path& path, int error) {
  std::string hint;
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) hint = "; free some space or write elsewhere";
  if (error == EACCES || error == EPERM || error == EROFS) hint = "; choose a folder you may write to";
  if (error == ENOENT) hint = "; create the folder first";
  throw Error("writing " + path.string() + ": " + std::generic_category().message(error) + hint);
}

int open_file(const fs::path& path, int flags) {
  int descriptor;
  do {
    descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  } while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

// The name, cut where it would be too long for the file system.
fs::path temporary_name(const fs::path& target, int number) {
  const std::string ending = std::string(before_number) + std::to_string(number) + std::string(after_number);
  constexpr std::size_t longest = 255;
  const std::string name = target.filename().string();
  return target.parent_path() / (name.substr(0, longest - ending.size()) + ending);
}

bool is_temporary_name(std::string_view name) {
  if (!name.ends_with(after_number)) return false;
  name.remove_suffix(after_number.size());
  const std::size_t at = name.rfind(before_number);
  if (at == 0 || at == std::string_view::npos) return false;
  name.remove_prefix(at + before_number.size());
  return !name.empty() && std::ranges::all_of(name, [](unsigned char c) { return std::isdigit(c) != 0; });
}

// Whether the name still stands for the open file: its writer may just have renamed or removed it.
bool is_still(const fs::path& path, int descriptor) {
  struct stat named {
  }, open{};
  return ::lstat(path.c_str(), &named) == 0 && ::fstat(descriptor, &open) == 0 && S_ISREG(named.st_mode) &&
         named.st_dev == open.st_dev && named.st_ino == open.st_ino;
}

// Removes a temporary file whose writer is gone: only then can it be locked. True if the name is free now.
bool remove_if_stale(const fs::path& path) {
  const int descriptor = open_file(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
  if (descriptor < 0) return errno == ENOENT;
  const bool locked = ::flock(descriptor, LOCK_EX | LOCK_NB) == 0;
  const bool removed = locked && is_still(path, descriptor) && ::unlink(path.c_str()) == 0;
  ::close(descriptor);
  return removed;
}

}  // namespace

AtomicFile::AtomicFile(const fs::path& path) : path_(path), target_(path) {
  std::error_code ignored;
  if (fs::is_symlink(path, ignored)) target_ = fs::weakly_canonical(path, ignored);
  const fs::file_status status = fs::status(target_, ignored);
  if (fs::is_directory(status)) fail(path_, EISDIR);
  direct_ = fs::exists(status) && !fs::is_regular_file(status);
  if (direct_) {
    opened_ = target_;
    descriptor_ = open_file(opened_, O_WRONLY);
    if (descriptor_ < 0) fail(path_, errno);
  } else {
    create();
  }
}

void AtomicFile::create() {
  for (int number = 0; number < most_writers;) {
    opened_ = temporary_name(target_, number);
    descriptor_ = open_file(opened_, O_RDWR | O_CREAT | O_EXCL);
    if (descriptor_ < 0) {
      if (errno != EEXIST) fail(path_, errno);
      if (!remove_if_stale(opened_)) ++number;
      continue;
    }
    // Another process may take the file for a stale one before it is locked. Some file systems have no locks;
    // there no file is ever taken for a stale one.
    const bool lost = ::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (!lost && is_still(opened_, descriptor_)) return;
    ::close(std::exchange(descriptor_, -1));
  }
  fail(path_, EEXIST);
}

AtomicFile::~AtomicFile() {
  if (!direct_ && !committed_ && is_still(opened_, descriptor_)) ::unlink(opened_.c_str());
  if (descriptor_ >= 0) ::close(descriptor_);
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
  // If the folder was cleared meanwhile, the name may stand for the file of another writer.
  if (!direct_ && !is_still(opened_, descriptor_)) fail(path_, ENOENT);
  // The lock lasts until the file has its name.
  if (!direct_ && ::rename(opened_.c_str(), target_.c_str()) != 0) fail(path_, errno);
  committed_ = true;
  if (::close(std::exchange(descriptor_, -1)) != 0) fail(path_, errno);
}

// std::filesystem's iterators end the program where memory is short.
void remove_stale_files(const fs::path& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(folder.c_str()), ::closedir);
  if (!open) return;
  while (const dirent* entry = ::readdir(open.get()))
    if (is_temporary_name(entry->d_name)) remove_if_stale(folder / entry->d_name);
}

}  // namespace karyon
