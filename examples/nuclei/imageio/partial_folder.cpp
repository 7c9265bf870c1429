#include "imageio/partial_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "common/error.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;

constexpr const char* mark = ".nuclei-partial";
constexpr int most_folders = 1000;

[[noreturn]] void fail(const fs::path& folder, const std::error_code& error) {
  throw Failure("writing " + folder.string() + ": " + error.message());
}

int open_mark(const fs::path& folder, int flags) {
  return ::open((folder / mark).c_str(), flags | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0666);
}

/// Removes a folder that holds our mark if nobody works in it.
bool remove_if_stale(const fs::path& folder) {
  const int descriptor = open_mark(folder, 0);
  if (descriptor < 0) return false;
  std::error_code error;
  const bool removed =
      ::flock(descriptor, LOCK_EX | LOCK_NB) == 0 && fs::remove_all(folder, error) > 0 && !error;
  ::close(descriptor);
  return removed;
}

}  // namespace

PartialFolder::PartialFolder(const fs::path& target)
    : target_(target.has_filename() ? target : target.parent_path()) {
  std::error_code error;
  if (fs::is_symlink(target_, error)) target_ = fs::weakly_canonical(target_, error);
  if (target_.has_parent_path()) fs::create_directories(target_.parent_path(), error);
  for (int number = 0; number < most_folders;) {
    path_ = target_;
    path_ += ".partial-" + std::to_string(number);
    if (create()) return;
    if (!remove_if_stale(path_)) ++number;
  }
  fail(target_, std::make_error_code(std::errc::file_exists));
}

// False if the name is taken.
bool PartialFolder::create() {
  std::error_code error;
  if (!fs::create_directory(path_, error)) {
    if (error && error != std::errc::file_exists) fail(path_, error);
    return false;
  }
  lock_ = open_mark(path_, O_CREAT | O_EXCL);
  if (lock_ < 0) {
    error.assign(errno, std::generic_category());
    remove();
    fail(path_, error);
  }
  // Another process may take the folder for a stale one before this. Where there are no locks, none does.
  if (::flock(lock_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return true;
  ::close(std::exchange(lock_, -1));
  return false;
}

PartialFolder::~PartialFolder() {
  if (lock_ >= 0) remove();
}

void PartialFolder::remove() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
  if (lock_ >= 0) ::close(std::exchange(lock_, -1));
}

void PartialFolder::commit() {
  std::error_code error;
  fs::remove(path_ / mark, error);
  // This replaces an empty folder, and nothing else.
  if (!error) fs::rename(path_, target_, error);
  if (error) fail(target_, error);
  ::close(std::exchange(lock_, -1));
}

}  // namespace nuclei
