// Registration: what nvcc's startup code calls, from programs and from plugins alike.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "fat_binary.h"
#include "runtime.h"

namespace gpuemu {
namespace {

struct Registry {
  std::vector<std::unique_ptr<Module>> modules;
  std::map<const void*, std::unique_ptr<Kernel>> kernels;  // by host function
  struct Symbol {
    Module* module;
    std::string name;
    std::size_t bytes;
  };
  std::map<const void*, Symbol> symbols;
};

Registry& registry() {
  static auto* r = new Registry;
  return *r;
}

/// The newest PTX of a fat binary that the device takes; empty if there is none.
std::string ptx_text(const void* wrapper) {
  const char* fat = nullptr;  // behind the wrapper's magic number and version
  std::memcpy(&fat, static_cast<const char*>(wrapper) + 8, sizeof fat);
  const int device = profile() == nullptr ? 0 : profile()->major * 10 + profile()->minor;
  std::string best;
  try {
    for (std::string& text : ptx_of_fat_binary(fat))
      if (ptx_target(text) <= device && ptx_target(text) > ptx_target(best)) best = std::move(text);
  } catch (const PtxError& error) {
    stop(error.what());
  }
  return best;
}

}  // namespace

Module::Module(const void* fat_binary) : text_(ptx_text(fat_binary)) {}

const PtxModule& Module::ptx() {
  if (ptx_ != nullptr) return *ptx_;
  if (text_.empty())
    throw PtxError(
        "PTX: the program has none for this device; build with -gencode arch=compute_80,code=compute_80");
  ptx_ = std::make_unique<PtxModule>(parse_ptx(text_));
  text_.clear();
  for (const Variable& v : ptx_->variables) {
    if (v.space != "global" && v.space != "const") continue;
    Allocation* a = device_memory().allocate(v.bytes());
    if (a == nullptr) throw PtxError("PTX: no device memory for the variable " + v.name);
    std::memset(a->host, 0, v.bytes());
    if (!v.initial.empty()) std::memcpy(a->host, v.initial.data(), v.bytes());
    const Moment moment = queue().host_moment();
    device_range(reinterpret_cast<void*>(a->address), v.bytes(), AccessKind::write, moment,
                 "a variable's initial value");
    symbols_[v.name] = a->address;
  }
  return *ptx_;
}

const SymbolTable& Module::symbols() {
  ptx();
  return symbols_;
}

const Program& Kernel::program() {
  if (decoded == nullptr) {
    const Function* f = module->ptx().find(name);
    if (f == nullptr || !f->entry) throw PtxError("PTX: there is no kernel " + name);
    decoded = decode(module->ptx(), *f, module->symbols());
  }
  return *decoded;
}

Kernel* find_kernel(const void* function) {
  auto& kernels = registry().kernels;
  if (const auto found = kernels.find(function); found != kernels.end()) return found->second.get();
  for (const auto& [host, kernel] : kernels)
    if (kernel.get() == function) return kernel.get();
  return nullptr;
}

bool find_symbol(const void* host, std::uint64_t& address, std::size_t& bytes) {
  const auto found = registry().symbols.find(host);
  if (found == registry().symbols.end()) return false;
  const auto& table = found->second.module->symbols();
  const auto symbol = table.find(found->second.name);
  if (symbol == table.end()) return false;
  address = symbol->second;
  bytes = found->second.bytes;
  return true;
}

void stop(const std::string& why) {
  std::fflush(nullptr);
  std::fprintf(stderr, "gpuemu: %s\n", why.c_str());
  std::abort();
}

}  // namespace gpuemu

using gpuemu::registry;

extern "C" {

void** __cudaRegisterFatBinary(void* fat_binary) {
  const std::lock_guard lock(gpuemu::queue().mutex);
  auto& modules = registry().modules;
  modules.push_back(std::make_unique<gpuemu::Module>(fat_binary));
  return reinterpret_cast<void**>(modules.back().get());
}

void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
char __cudaInitModule(void**) { return 1; }

void __cudaRegisterFunction(void** module, const char* host, char*, const char* name, int, uint3*, uint3*,
                            dim3*, dim3*, int*) {
  const std::lock_guard lock(gpuemu::queue().mutex);
  auto kernel = std::make_unique<gpuemu::Kernel>();
  kernel->module = reinterpret_cast<gpuemu::Module*>(module);
  kernel->name = name;
  registry().kernels[host] = std::move(kernel);
}

void __cudaRegisterVar(void** module, char* host, char*, const char* name, int, std::size_t bytes, int, int) {
  const std::lock_guard lock(gpuemu::queue().mutex);
  registry().symbols[host] = {reinterpret_cast<gpuemu::Module*>(module), name, bytes};
}

cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* function) {
  const std::lock_guard lock(gpuemu::queue().mutex);
  gpuemu::Kernel* found = gpuemu::find_kernel(function);
  if (found == nullptr) return gpuemu::result(cudaErrorInvalidDeviceFunction);
  *kernel = reinterpret_cast<cudaKernel_t>(found);
  return cudaSuccess;
}

}  // extern "C"
