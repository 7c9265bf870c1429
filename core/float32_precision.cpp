#include <atomic>
#include <cstdlib>

#include <karyon/core/check.h>
#include <karyon/core/cuda_plugin.h>
#include <karyon/core/float32_precision.h>

namespace karyon {
namespace {

std::atomic<bool>& tf32() {
  static std::atomic<bool> allowed = [] {
    const char* value = std::getenv("KARYON_TF32");
    const std::string text = value ? value : "";
    check(text.empty() || text == "0" || text == "1", "KARYON_TF32: expects 0 or 1, got '", text, "'");
    return text == "1";
  }();
  return allowed;
}

}  // namespace

void set_float32_matmul_precision(const std::string& precision) {
  check(precision == "highest" || precision == "high" || precision == "medium",
        "set_float32_matmul_precision: expects highest, high or medium, got '", precision, "'");
  tf32() = precision != "highest";
}

std::string get_float32_matmul_precision() { return tf32() ? "high" : "highest"; }

const std::atomic<bool>& cuda_plugin::tf32_allowed() { return tf32(); }

}  // namespace karyon
