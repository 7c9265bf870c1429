#pragma once
#include <bit>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

/// Tests of single PTX instructions: a small module runs the instruction on the emulator, thread by thread
/// with other inputs, and what it gives is compared with numbers that come from elsewhere.
namespace gpuemu::selftest {

using Row = std::vector<std::uint64_t>;

/// Runs `code` (with $0, $1, ... for its registers) once per row, as the threads of one block. `signature`
/// names the registers' sizes, results before the '=': h 16, r 32, d 64 bits, p a predicate. A row holds the
/// inputs, then the results.
void check(const std::string& code, const std::string& signature, const std::vector<Row>& rows);

/// Runs a kernel `t` of a whole module, one block of `threads`. Its parameters are the addresses of `data`,
/// which it may change, and of nothing else. Gives the data afterwards; `failed` says whether there were
/// reports.
std::vector<std::uint8_t> run_module(const std::string& module, std::vector<std::uint8_t> data,
                                     unsigned threads, bool* failed = nullptr);
/// The head that every module needs.
std::string module_head();

/// Counts a failure and prints it.
void fail(const std::string& text);
void expect_equal(const std::string& what, std::uint64_t got, std::uint64_t expected);

/// Says that an instruction is tested by a module of its own. The opcode as it is written.
void covers(const std::string& opcode);
const std::set<std::string>& covered();
int failures();
int checks();

inline std::uint64_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }
inline std::uint64_t bits(double x) { return std::bit_cast<std::uint64_t>(x); }
inline float as_float(std::uint64_t b) { return std::bit_cast<float>(static_cast<std::uint32_t>(b)); }
inline double as_double(std::uint64_t b) { return std::bit_cast<double>(b); }

/// All pairs, or triples, of values with what a function gives for them.
template <class F>
std::vector<Row> table(const std::vector<std::uint64_t>& a, F f) {
  std::vector<Row> rows;
  for (const auto x : a) rows.push_back({x, f(x)});
  return rows;
}
template <class F>
std::vector<Row> table(const std::vector<std::uint64_t>& a, const std::vector<std::uint64_t>& b, F f) {
  std::vector<Row> rows;
  for (const auto x : a)
    for (const auto y : b) rows.push_back({x, y, f(x, y)});
  return rows;
}
template <class F>
std::vector<Row> table(const std::vector<std::uint64_t>& a, const std::vector<std::uint64_t>& b,
                       const std::vector<std::uint64_t>& c, F f) {
  std::vector<Row> rows;
  for (const auto x : a)
    for (const auto y : b)
      for (const auto z : c) rows.push_back({x, y, z, f(x, y, z)});
  return rows;
}

void test_integer();
void test_logic();
void test_float();
void test_half();
void test_convert();
void test_memory();
void test_warp();
void test_tensor();
void test_control();

}  // namespace gpuemu::selftest
