#include "output/text_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "common/error.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path) {
  throw Failure("writing " + path.string() + ": " + std::generic_category().message(errno));
}

}  // namespace

GrowingFile::GrowingFile(const fs::path& path, const std::string& header, std::uint64_t keep) : path_(path) {
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail(path);
  const off_t there = ::lseek(descriptor_, 0, SEEK_END);
  if (keep > 0 && there < static_cast<off_t>(keep)) {
    ::close(descriptor_);
    throw Failure("continuing " + path.string() + ": expected at least " + std::to_string(keep) +
                  " bytes, it has " + std::to_string(there) + "; start over with --overwrite");
  }
  if (::ftruncate(descriptor_, static_cast<off_t>(keep)) != 0 ||
      ::lseek(descriptor_, static_cast<off_t>(keep), SEEK_SET) < 0) {
    ::close(descriptor_);
    fail(path);
  }
  size_ = keep;
  if (keep == 0) add(header);
}

GrowingFile::~GrowingFile() { ::close(descriptor_); }

void GrowingFile::add(const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t n = ::write(descriptor_, text.data() + done, text.size() - done);
    if (n < 0 && errno != EINTR) fail(path_);
    if (n > 0) done += static_cast<std::size_t>(n);
  }
  if (::fdatasync(descriptor_) != 0) fail(path_);
  check();
  size_ += text.size();
}

void GrowingFile::check() const {
  struct stat named {
  }, open{};
  if (::fstat(descriptor_, &open) != 0) fail(path_);
  if (::stat(path_.c_str(), &named) != 0 || named.st_dev != open.st_dev || named.st_ino != open.st_ino)
    throw Failure("writing " + path_.string() + ": it was removed or replaced meanwhile");
}

void TextFile::add(const std::string& text) {
  constexpr std::size_t block = 1 << 20;
  text_ += text;
  if (text_.size() < block) return;
  file_.write(text_.data(), text_.size());
  text_.clear();
}

void TextFile::finish(const std::string& end) {
  text_ += end;
  file_.write(text_.data(), text_.size());
  file_.commit();
}

}  // namespace nuclei
