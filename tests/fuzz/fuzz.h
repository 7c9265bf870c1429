#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

// What fuzz targets share. A target is a file of this folder. It takes any bytes, and returns unless it finds
// a defect. With the preset `fuzz` each is a program of libFuzzer's. In every build fuzz_replay runs the
// seeds and the regressions of all targets.
namespace fuzz {

using Bytes = std::span<const std::uint8_t>;
using Inputs = std::vector<std::vector<std::uint8_t>>;

struct Target {
  const char* name;
  void (*run)(Bytes input);
  Inputs (*seeds)();
};

/// The targets of this program.
std::vector<Target>& targets();

/// Registers a target from its file.
struct Register {
  explicit Register(const Target& target) { targets().push_back(target); }
};

/// A result that must not be. Nothing catches it, so that it counts as a crash.
struct Defect : std::logic_error {
  using std::logic_error::logic_error;
};

/// Throws Defect with the concatenated message unless `ok`.
template <class... Parts>
void expect(bool ok, const Parts&... parts) {
  if (ok) return;
  std::ostringstream message;
  (message << ... << parts);
  throw Defect(message.str());
}

/// Calls f; false where it throws the error that it documents. Other exceptions go through.
template <class Documented, class F>
bool succeeds(const F& f) {
  try {
    f();
    return true;
  } catch (const Documented&) {
    return false;
  }
}

/// Takes numbers and text off the front of an input. Behind its end everything is zero or empty.
class ByteReader {
 public:
  explicit ByteReader(Bytes bytes) : rest_(bytes) {}

  bool empty() const { return rest_.empty(); }
  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const std::uint8_t value = rest_.front();
    rest_ = rest_.subspan(1);
    return value;
  }
  bool flag() { return (byte() & 1) != 0; }
  /// A number in [low, high], of as many bytes as that takes.
  std::int64_t between(std::int64_t low, std::int64_t high) {
    const std::uint64_t range = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
    std::uint64_t value = 0;
    for (std::uint64_t left = range; left > 0; left >>= 8) value = value << 8 | byte();
    if (range < std::numeric_limits<std::uint64_t>::max()) value %= range + 1;
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + value);
  }
  int whole(int low, int high) { return static_cast<int>(between(low, high)); }
  template <class T, std::size_t n>
  const T& one_of(const std::array<T, n>& values) {
    return values[static_cast<std::size_t>(between(0, n - 1))];
  }
  Bytes bytes(std::size_t most) {
    const Bytes taken = rest_.first(std::min(most, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  Bytes rest() { return bytes(rest_.size()); }
  std::string text(std::size_t most) {
    const Bytes taken = bytes(most);
    return {taken.begin(), taken.end()};
  }

 private:
  Bytes rest_;
};

/// Small numbers that look random.
class Noise {
 public:
  explicit Noise(std::uint64_t seed) : state_(seed * 2 + 1) {}
  std::uint32_t next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::uint32_t>(state_ >> 33);
  }
  /// Uniform in [-1, 1).
  double real() { return static_cast<double>(next()) / (1u << 30) - 1; }

 private:
  std::uint64_t state_;
};

/// Inputs for targets that make what they test from numbers.
Inputs noise_seeds(std::size_t count, std::size_t length);

/// The bytes as a file in memory, until the next call.
std::filesystem::path as_file(Bytes bytes);

/// An empty folder in memory, until the next call.
const std::filesystem::path& empty_folder();

/// A whole file.
std::vector<std::uint8_t> file_bytes(const std::filesystem::path& path);

inline std::vector<std::uint8_t> to_bytes(std::string_view text) { return {text.begin(), text.end()}; }

}  // namespace fuzz
