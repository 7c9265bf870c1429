// mma.sync against plain loops over matrices of small numbers, whose products and sums are exact; ldmatrix
// and cp.async against the places that the PTX manual gives.
#include <cmath>
#include <cstring>
#include <functional>

#include "selftest.h"

namespace gpuemu::selftest {
namespace {

using u64 = std::uint64_t;

float a_element(int row, int k) { return static_cast<float>((row * 3 + k * 5) % 11 - 5); }
float b_element(int k, int n) { return static_cast<float>((k * 7 + n) % 9 - 4) * 0.5f; }
float c_element(int row, int n) { return static_cast<float>(row) - 0.25f * static_cast<float>(n); }

u64 bf16(float x) { return bits(x) >> 16; }
u64 tf32(float x) { return bits(x) | 0x1fff; }  // what the low bits hold must not matter
u64 f16(float x) {                              // of numbers that it has
  if (x == 0) return 0;
  int exponent = 0;
  const float fraction = std::frexp(std::fabs(x), &exponent);
  return (x < 0 ? 0x8000u : 0u) | static_cast<u64>(exponent - 1 + 15) << 10 |
         (static_cast<u64>(std::lround(fraction * 2048)) & 0x3ff);
}

/// `pieces` elements per register; the manual's fragments: see the comments.
void test_mma(const std::string& shape, const std::string& type, int depth, int pieces,
              const std::function<u64(float)>& encode) {
  const std::string name = "mma.sync.aligned." + shape + ".row.col.f32." + type + "." + type + ".f32";
  const int per_half = 4 * pieces;  // columns of A that one pair of registers holds
  const int halves = depth / per_half, a_registers = 2 * halves, b_registers = halves;
  std::vector<Row> rows;
  for (int lane = 0; lane < 32; ++lane) {
    const int group = lane >> 2, thread = lane & 3;
    Row row;
    for (int i = 0; i < a_registers; ++i) {
      // a(i): row = group for even i, group + 8 for odd; columns thread * pieces + ..., per_half further for
      // i >= 2
      u64 packed = 0;
      for (int e = 0; e < pieces; ++e)
        packed |= encode(a_element(group + i % 2 * 8, thread * pieces + e + i / 2 * per_half)) << (16 * e);
      row.push_back(packed);
    }
    for (int i = 0; i < b_registers; ++i) {
      u64 packed = 0;
      for (int e = 0; e < pieces; ++e)
        packed |= encode(b_element(thread * pieces + e + i * per_half, group)) << (16 * e);
      row.push_back(packed);
    }
    for (int i = 0; i < 4; ++i) row.push_back(bits(c_element(group + i / 2 * 8, thread * 2 + i % 2)));
    for (int i = 0; i < 4; ++i) {
      const int r = group + i / 2 * 8, n = thread * 2 + i % 2;
      double sum = static_cast<double>(c_element(r, n));
      for (int k = 0; k < depth; ++k)
        sum += static_cast<double>(a_element(r, k)) * static_cast<double>(b_element(k, n));
      row.push_back(bits(static_cast<float>(sum)));
    }
    rows.push_back(row);
  }
  std::string code = name + " {$0, $1, $2, $3}, {";
  int next = 4;
  for (const int count : {a_registers, b_registers, 4}) {
    for (int i = 0; i < count; ++i) code += (i != 0 ? ", $" : "$") + std::to_string(next++);
    code += count == 4 && next == 8 + a_registers + b_registers ? "}" : "}, {";
  }
  check(code, "rrrr=" + std::string(static_cast<std::size_t>(a_registers + b_registers + 4), 'r'), rows);
}

std::string tensor_head() {
  return module_head() +
         ".visible .entry t(.param .u64 data)\n{\n.reg .b64 at, from, wide;\n.reg .b32 thread, x<4>, place, "
         "size;\n"
         ".shared .align 16 .b8 room[512];\nld.param.u64 at, [data];\nmov.u32 thread, %tid.x;\n";
}

void test_load_matrix() {
  for (const int count : {1, 2, 4})
    for (const bool transposed : {false, true})
      for (const std::string space : {"shared", "shared::cta"}) {
        const std::string name = "ldmatrix.sync.aligned.m8n8.x" + std::to_string(count) +
                                 (transposed ? ".trans." : ".") + space + ".b16";
        // Row r of matrix m lies at 16 (8 m + r); element (m, r, c) is 256 m + 16 r + c.
        std::string text = tensor_head() +
                           "mul.wide.u32 wide, thread, 16;\nadd.s64 from, at, wide;\nmov.u32 place, "
                           "room;\nshl.b32 size, thread, 4;\nadd.s32 place, place, size;\n";
        text +=
            "ld.global.v4.u32 {x0, x1, x2, x3}, [from];\nst.shared.v4.u32 [place], {x0, x1, x2, "
            "x3};\nbar.sync 0;\n";
        text += name + " {x0" + (count > 1 ? ", x1" : "") + (count > 2 ? ", x2, x3" : "") + "}, [place];\n";
        text += "st.global.v4.u32 [from], {x0, x1, x2, x3};\nret;\n}\n";
        covers(name);
        std::vector<std::uint8_t> data(512);
        for (int m = 0; m < 4; ++m)
          for (int r = 0; r < 8; ++r)
            for (int c = 0; c < 8; ++c) {
              const auto e = static_cast<std::uint16_t>(256 * m + 16 * r + c);
              std::memcpy(&data[static_cast<std::size_t>(16 * (8 * m + r) + 2 * c)], &e, 2);
            }
        const auto after = run_module(text, data, 32);
        for (int lane = 0; lane < 32; ++lane)
          for (int m = 0; m < count; ++m) {
            std::uint32_t got = 0;
            std::memcpy(&got, &after[static_cast<std::size_t>(16 * lane + 4 * m)], 4);
            const int r = lane / 4, c = lane % 4 * 2;
            const int low = transposed ? 256 * m + 16 * c + r : 256 * m + 16 * r + c;
            const int high = transposed ? low + 16 : low + 1;
            expect_equal(name + ", lane " + std::to_string(lane), got,
                         static_cast<u64>(high) << 16 | static_cast<u64>(low));
          }
      }
}

void test_copies() {
  for (const int bytes : {4, 8, 16})
    for (const std::string level : {"ca", "cg"})
      for (const std::string hint : {"", ".L2::64B", ".L2::128B", ".L2::256B"})
        for (const int valid : {-1, 0, 4, bytes}) {
          if (bytes != 16 && level == "cg") continue;
          const std::string name = "cp.async." + level + ".shared.global" + hint;
          std::string text = tensor_head() +
                             "mul.wide.u32 wide, thread, 16;\nadd.s64 from, at, wide;\nmov.u32 place, "
                             "room;\nshl.b32 size, thread, 4;\nadd.s32 place, place, size;\n";
          text += "mov.u32 size, " + std::to_string(valid) + ";\n" + name + " [place], [from], " +
                  std::to_string(bytes) + (valid < 0 ? "" : ", size") + ";\n";
          text += "cp.async.commit_group;\ncp.async.wait_group 0;\n";
          text += bytes == 4   ? "ld.shared.u32 x0, [place];\nst.global.u32 [from], x0;\n"
                  : bytes == 8 ? "ld.shared.v2.u32 {x0, x1}, [place];\nst.global.v2.u32 [from], {x0, x1};\n"
                               : "ld.shared.v4.u32 {x0, x1, x2, x3}, [place];\nst.global.v4.u32 [from], {x0, "
                                 "x1, x2, x3};\n";
          covers(name);
          std::vector<std::uint8_t> data(512);
          for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::uint8_t>(i * 7 + 1);
          const auto after = run_module(text + "ret;\n}\n", data, 32);
          for (std::size_t i = 0; i < 512; ++i)
            if (i % 16 < static_cast<std::size_t>(bytes))
              expect_equal(name, after[i],
                           valid < 0 || i % 16 < static_cast<std::size_t>(valid) ? data[i] : 0);
        }
  // Groups arrive in order: the first can be read while the second is under way, and the second cannot.
  const std::string two =
      tensor_head() +
      "mov.u32 place, room;\ncp.async.ca.shared.global [place], [at], 4;\ncp.async.commit_group;\n"
      "cp.async.ca.shared.global [place+4], [at+4], 4;\ncp.async.commit_group;\ncp.async.wait_group 1;\n";
  covers("cp.async.commit_group");
  covers("cp.async.wait_group");
  covers("cp.async.wait_all");
  std::vector<std::uint8_t> data(16, 9);
  auto after = run_module(
      two +
          "ld.shared.u32 x0, [place];\nst.global.u32 [at+8], x0;\ncp.async.wait_all;\nld.shared.u32 x0, "
          "[place+4];\nst.global.u32 [at+12], x0;\nret;\n}\n",
      data, 1);
  expect_equal("cp.async.wait_group 1", after[8], 9);
  expect_equal("cp.async.wait_all", after[12], 9);
}

}  // namespace

void test_tensor() {
  test_mma("m16n8k16", "bf16", 16, 2, bf16);
  test_mma("m16n8k8", "bf16", 8, 2, bf16);
  test_mma("m16n8k16", "f16", 16, 2, f16);
  test_mma("m16n8k8", "f16", 8, 2, f16);
  test_mma("m16n8k8", "tf32", 8, 1, tf32);
  test_mma("m16n8k4", "tf32", 4, 1, tf32);
  test_load_matrix();
  test_copies();
}

}  // namespace gpuemu::selftest
