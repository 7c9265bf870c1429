// Branches, calls, barriers: small kernels whose results only right control flow gives.
#include <cstring>

#include "selftest.h"

namespace gpuemu::selftest {
namespace {

/// Runs a body with `thread`, `at` (of the thread's 32-bit word) and r0 to r3, which stores r0, on `threads`
/// threads.
std::vector<std::uint32_t> run(const std::string& body, unsigned threads, const std::string& before = "",
                               bool* reported = nullptr) {
  const std::string text = module_head() + before +
                           ".visible .entry t(.param .u64 data)\n{\n.reg .b64 at, wide;\n.reg .b32 thread, "
                           "r<4>;\n.reg .pred p<4>;\n"
                           "ld.param.u64 at, [data];\nmov.u32 thread, %tid.x;\nmul.wide.u32 wide, thread, "
                           "4;\nadd.s64 at, at, wide;\n" +
                           body + "\nst.global.u32 [at], r0;\nret;\n}\n";
  const auto data = run_module(text, std::vector<std::uint8_t>(4 * threads), threads, reported);
  std::vector<std::uint32_t> words(threads);
  std::memcpy(words.data(), data.data(), data.size());
  return words;
}

template <class F>
void expect(const std::string& opcode, const std::vector<std::uint32_t>& got, F f) {
  covers(opcode);
  for (std::uint32_t t = 0; t < got.size(); ++t)
    expect_equal(opcode + ", thread " + std::to_string(t), got[t], f(t));
}

void test_branches() {
  // A loop with another count in each lane, and a branch in it.
  const auto sums =
      run("mov.u32 r0, 0;\nmov.u32 r1, 0;\nagain:\nsetp.ge.u32 p0, r1, thread;\n@p0 bra done;\nand.b32 r2, "
          "r1, 1;\n"
          "setp.eq.u32 p1, r2, 0;\n@!p1 bra odd;\nadd.s32 r0, r0, 10;\nbra.uni next;\nodd:\nadd.s32 r0, r0, "
          "1;\nnext:\nadd.s32 r1, r1, 1;\n"
          "bra again;\ndone:",
          70);
  const auto expected = [](std::uint32_t t) { return (t + 1) / 2 * 10 + t / 2; };
  expect("bra", sums, expected);
  expect("bra.uni", sums, expected);
  // After the branches the lanes are together again: a shuffle over all of them is legal.
  expect("bra",
         run("mov.u32 r0, 1;\nsetp.lt.u32 p0, thread, 7;\n@p0 bra few;\nmov.u32 r0, "
             "2;\nfew:\nshfl.sync.bfly.b32 r0, r0, 31, 31, -1;",
             32),
         [](std::uint32_t t) { return 31 - t < 7 ? 1u : 2u; });
  expect("brx.idx",
         run("mov.u32 r0, 0;\nand.b32 r1, thread, 3;\ntable: .branchtargets zero, one, two, one;\nbrx.idx "
             "r1, table;\n"
             "zero:\nadd.s32 r0, r0, 100;\none:\nadd.s32 r0, r0, 10;\ntwo:\nadd.s32 r0, r0, 1;",
             32),
         [](std::uint32_t t) { return t % 4 == 0   ? 111u
                                      : t % 4 == 2 ? 1u
                                                   : 11u; });
  covers("brx.idx.uni");
  const auto left =
      run("mov.u32 r0, 5;\nsetp.gt.u32 p0, thread, 3;\n@p0 exit;\nsetp.gt.u32 p1, thread, 1;\n@p1 ret;", 8);
  expect("exit", left, [](std::uint32_t t) { return t > 1 ? 0u : 5u; });
  covers("ret");
}

void test_calls() {
  const std::string function =
      ".func (.param .b32 result) scale(.param .b32 x, .param .b64 times)\n{\n.reg .b32 a, b;\n.reg .b64 "
      "c;\n.reg .pred p;\n"
      "ld.param.u32 a, [x];\nld.param.u64 c, [times];\ncvt.u32.u64 b, c;\nsetp.eq.u32 p, a, 3;\n@p bra "
      "three;\n"
      "mul.lo.u32 a, a, b;\nst.param.b32 [result+0], a;\nret;\nthree:\nmov.u32 a, 1000;\nst.param.b32 "
      "[result+0], a;\nret;\n}\n";
  for (const std::string store : {"st.param.b64", "st.param.f64"}) {
    for (const std::string call : {"call", "call.uni"})
      expect(call,
             run("mov.u64 wide, 7;\n{\n.param .b32 x0;\nst.param.b32 [x0+0], thread;\n.param .b64 x1;\n" +
                     store + " [x1+0], wide;\n.param .b32 back;\n" + call +
                     " (back), scale, (x0, x1);\nld.param.b32 r0, [back+0];\n}",
                 32, function),
             [](std::uint32_t t) { return t == 3 ? 1000u : 7 * t; });
    covers(store);
  }
}

void test_barriers() {
  for (const std::string barrier : {"bar.sync 0", "barrier.sync 0", "barrier.sync.aligned 0",
                                    "bar.cta.sync 0", "barrier.cta.sync 0", "barrier.cta.sync.aligned 0"})
    expect(barrier.substr(0, barrier.find(' ')),
           run(".shared .align 4 .b32 room[128];\nmov.u32 r1, room;\nshl.b32 r2, thread, 2;\nadd.s32 r2, r1, "
               "r2;\nst.shared.u32 [r2], thread;\n" +
                   barrier +
                   ";\nsub.s32 r3, 99, thread;\nshl.b32 r3, r3, 2;\nadd.s32 r3, r1, r3;\nld.shared.u32 r0, "
                   "[r3];",
               100),
           [](std::uint32_t t) { return 99 - t; });
  const std::string exchange =
      ".shared .align 4 .b32 room[32];\nmov.u32 r1, room;\nshl.b32 r2, thread, 2;\nadd.s32 r2, r1, "
      "r2;\nst.shared.u32 [r2], thread;\n";
  const std::string read =
      "xor.b32 r3, thread, 1;\nshl.b32 r3, r3, 2;\nadd.s32 r3, r1, r3;\nld.shared.u32 r0, [r3];";
  expect("bar.warp.sync", run(exchange + "bar.warp.sync -1;\n" + read, 32),
         [](std::uint32_t t) { return t ^ 1; });
  bool reported = false;
  run(exchange + read, 32, "", &reported);
  if (!reported) fail("a race between lanes without bar.warp.sync is not reported");
  for (const std::string fence :
       {"membar.cta", "membar.gl", "membar.sys", "fence.sc.cta", "fence.sc.gpu", "fence.sc.sys",
        "fence.acq_rel.cta", "fence.acq_rel.gpu", "fence.acq_rel.sys"})
    expect(fence, run("mov.u32 r0, 4;\n" + fence + ";", 32), [](std::uint32_t) { return 4u; });
  run("mov.u32 r0, 1;\ntrap;", 1, "", &reported);
  covers("trap");
  if (!reported) fail("trap is not reported");
  // Dynamic shared memory lies behind the static.
  expect("ld.shared.u32",
         run(".shared .align 4 .b32 room[5];\nmov.u32 r1, room;\nst.shared.u32 [r1], thread;\nmov.u32 r2, "
             "more;\nst.shared.u32 [r2+4], 77;\n"
             "ld.shared.u32 r0, [r2+4];\nsub.s32 r3, r2, r1;\nadd.s32 r0, r0, r3;",
             1, ".extern .shared .align 16 .b8 more[];\n"),
         [](std::uint32_t) { return 77u + 32; });
}

}  // namespace

void test_control() {
  test_branches();
  test_calls();
  test_barriers();
}

}  // namespace gpuemu::selftest
