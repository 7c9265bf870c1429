// usage: gpuemu_selftest                 tests every instruction
//        gpuemu_selftest --covers FILE   fails if the PTX in FILE (a program, a library or a text) has an
//        instruction without
//                                        a test, or one that cannot be decoded; prints the list
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <map>

#include "../decoder.h"
#include "../fat_binary.h"
#include "../machine.h"
#include "selftest.h"

namespace gpuemu::selftest {
namespace {

int failed = 0, checked = 0;
Interval now = 1;

std::set<std::string>& opcodes() {
  static std::set<std::string> all;
  return all;
}

std::size_t bytes_of(char kind) { return kind == 'h' ? 2 : kind == 'r' || kind == 'p' ? 4 : 8; }

/// Memory that holds `data`, written.
Allocation& memory_with(const std::vector<std::uint8_t>& data) {
  Allocation& a = *device_memory().allocate(data.size() + 8);
  std::memcpy(a.host, data.data(), data.size());
  for (std::size_t i = 0; i < data.size(); i += 4) a.shadow->cell(i / 4).write.interval = 1;
  return a;
}

}  // namespace

void fail(const std::string& text) {
  ++failed;
  std::printf("FAILED %s\n", text.c_str());
}

void expect_equal(const std::string& what, std::uint64_t got, std::uint64_t expected) {
  ++checked;
  if (got == expected) return;
  char numbers[80];
  std::snprintf(numbers, sizeof numbers, ": got 0x%llx, expected 0x%llx",
                static_cast<unsigned long long>(got), static_cast<unsigned long long>(expected));
  fail(what + numbers);
}

void covers(const std::string& opcode) { opcodes().insert(opcode); }
const std::set<std::string>& covered() { return opcodes(); }
int failures() { return failed; }
int checks() { return checked; }

std::string module_head() { return ".version 8.0\n.target sm_80\n.address_size 64\n"; }

std::vector<std::uint8_t> run_module(const std::string& module, std::vector<std::uint8_t> data,
                                     unsigned threads, bool* reported) {
  Allocation& memory = memory_with(data);
  const int reports_before = report_count();
  try {
    const PtxModule ptx = parse_ptx(module);
    SymbolTable symbols;
    for (const Variable& v : ptx.variables)
      if (v.space != "shared") symbols[v.name] = memory_with(v.initial).address;
    const auto program = decode(ptx, *ptx.find("t"), symbols);
    LaunchConfig config;
    config.block = {threads, 1, 1};
    config.dynamic_shared = 1024;
    config.parameters.resize(program->parameter_bytes);
    std::memcpy(config.parameters.data(), &memory.address,
                std::min<std::size_t>(8, program->parameter_bytes));
    for (std::size_t i = 8; i < config.parameters.size(); ++i)
      config.parameters[i] = static_cast<std::byte>(0x70 + i);
    Moment moment;
    moment.interval = moment.block = moment.operation = ++now;
    moment.ordered = now - 1;
    Machine machine;
    machine.launch(*program, config, moment);
    now = machine.next_interval();
  } catch (const PtxError& error) {
    fail(error.what());
  } catch (const KernelFault& fault) {
    if (reported == nullptr) fail(fault.what());
    now += 1000;
  }
  if (reported != nullptr)
    *reported = report_count() != reports_before;
  else if (report_count() != reports_before)
    fail("a report in a test of an instruction:\n" + module);
  std::memcpy(data.data(), memory.host, data.size());
  device_memory().free(memory);
  return data;
}

void check(const std::string& code, const std::string& signature, const std::vector<Row>& rows) {
  const auto equals = signature.find('=');
  const std::string kinds = signature.substr(0, equals) + signature.substr(equals + 1);
  const std::size_t results = equals, inputs = kinds.size() - results;
  covers(code.substr(0, code.find_first_of(" \t")));

  std::string text =
      module_head() +
      ".visible .entry t(.param .u64 data)\n{\n.reg .b64 at, wide;\n.reg .b32 thread;\n.reg .b64 row;\n";
  const std::string row_bytes = std::to_string(8 * kinds.size());
  for (std::size_t i = 0; i < kinds.size(); ++i)
    text += std::string(".reg ") +
            (kinds[i] == 'p'   ? ".pred"
             : kinds[i] == 'h' ? ".b16"
             : kinds[i] == 'r' ? ".b32"
                               : ".b64") +
            " x" + std::to_string(i) + ";\n";
  text += "ld.param.u64 at, [data];\nmov.u32 thread, %tid.x;\nmul.wide.u32 row, thread, " + row_bytes +
          ";\nadd.s64 at, at, row;\n";
  for (std::size_t i = 0; i < inputs; ++i) {
    const std::string x = "x" + std::to_string(results + i);
    text += "ld.global.u64 wide, [at+" + std::to_string(8 * i) + "];\n";
    const char kind = kinds[results + i];
    text += kind == 'p'   ? "setp.ne.u64 " + x + ", wide, 0;\n"
            : kind == 'h' ? "cvt.u16.u64 " + x + ", wide;\n"
            : kind == 'r' ? "cvt.u32.u64 " + x + ", wide;\n"
                          : "mov.b64 " + x + ", wide;\n";
  }
  for (std::size_t i = 0; i < code.size(); ++i) {
    if (code[i] == '$')
      text += 'x';
    else
      text += code[i];
  }
  text += ";\n";
  for (std::size_t i = 0; i < results; ++i) {
    const std::string x = "x" + std::to_string(i);
    text += kinds[i] == 'p'   ? "selp.b64 wide, 1, 0, " + x + ";\n"
            : kinds[i] == 'h' ? "cvt.u64.u16 wide, " + x + ";\n"
            : kinds[i] == 'r' ? "cvt.u64.u32 wide, " + x + ";\n"
                              : "mov.b64 wide, " + x + ";\n";
    text += "st.global.u64 [at+" + std::to_string(8 * (inputs + i)) + "], wide;\n";
  }
  text += "ret;\n}\n";

  for (std::size_t first = 0; first < rows.size(); first += 1024) {
    const std::size_t count = std::min<std::size_t>(1024, rows.size() - first);
    std::vector<std::uint8_t> data(count * 8 * kinds.size());
    for (std::size_t r = 0; r < count; ++r)
      std::memcpy(&data[r * 8 * kinds.size()], rows[first + r].data(), 8 * inputs);
    data = run_module(text, std::move(data), static_cast<unsigned>(count));
    for (std::size_t r = 0; r < count; ++r)
      for (std::size_t i = 0; i < results; ++i) {
        std::uint64_t got = 0;
        std::memcpy(&got, &data[(r * kinds.size() + inputs + i) * 8], 8);
        std::string what = code + " of";
        char number[24];
        for (std::size_t j = 0; j < inputs; ++j) {
          std::snprintf(number, sizeof number, " 0x%llx",
                        static_cast<unsigned long long>(rows[first + r][j]));
          what += number;
        }
        const std::uint64_t mask = bytes_of(kinds[i]) == 8 ? ~0ull : (1ull << 8 * bytes_of(kinds[i])) - 1;
        expect_equal(what, got, rows[first + r][inputs + i] & mask);
      }
  }
}

namespace {

/// The instructions of all functions of a text, and how often each stands there.
std::map<std::string, int> instructions_of(const PtxModule& module) {
  std::map<std::string, int> count;
  for (const Function& f : module.functions)
    for (const Item& item : parse_body(f))
      if (item.kind == Item::Kind::instruction) ++count[item.statement.name()];
  return count;
}

int check_coverage(const char* path) {
  std::map<std::string, int> all;
  int kernels = 0, bad = 0;
  for (const std::string& text : ptx_of_file(path)) {
    const PtxModule module = parse_ptx(text);
    for (const auto& [name, count] : instructions_of(module)) all[name] += count;
    SymbolTable symbols;
    for (const Variable& v : module.variables)
      if (v.space != "shared") symbols[v.name] = 1 << 20;
    for (const Function& f : module.functions) {
      if (!f.entry) continue;
      ++kernels;
      try {
        decode(module, f, symbols);
      } catch (const PtxError& error) {
        ++bad;
        std::printf("FAILED %s\n", error.what());
      }
    }
  }
  for (const auto& [name, count] : all) {
    const bool tested = covered().count(name) != 0;
    bad += !tested;
    std::printf("%-60s %7d times  %s\n", name.c_str(), count, tested ? "tested" : "FAILED: no test");
  }
  std::printf("%d kernels, %zu instructions, %d failures\n", kernels, all.size(), bad);
  return kernels == 0 || bad != 0;
}

}  // namespace
}  // namespace gpuemu::selftest

namespace {

int run(int argc, char** argv) {
  using namespace gpuemu::selftest;
  for (const auto test : {test_integer, test_logic, test_float, test_half, test_convert, test_memory,
                          test_warp, test_tensor, test_control})
    test();
  std::printf("%zu instructions, %d values checked, %d failures\n", covered().size(), checks(), failures());
  if (failures() != 0) return 1;
  try {
    if (argc == 3 && std::strcmp(argv[1], "--covers") == 0) return check_coverage(argv[2]);
  } catch (const gpuemu::PtxError& error) {
    std::printf("FAILED %s\n", error.what());
    return 1;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const int code = run(argc, argv);
  std::fflush(nullptr);
  _exit(code);  // some tests are there to be reported
}
