// Makes chosen calls of a program fail: LD_PRELOAD=karyon_inject.so FAULT=... program
//
//   FAULT=KIND:N      the N-th call of this kind fails, counted from 1 in all threads
//   FAULT=KIND:N+     so does every later one
//   FAULT=KIND:new    the first call fails whose stack is not in the file that FAULT_SEEN names; it is added
//                     there
//   FAULT=clock:S     clocks jump by S seconds at every thousandth question
//   FAULT_COUNT=FILE  receives how many calls of the kind there were
// Kinds: malloc, read, write, open, close, fsync, rename, thread.
#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <iterator>

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
}

namespace {

enum class Kind { none, malloc, read, write, open, close, fsync, rename, thread, clock };
constexpr const char* kind_names[] = {"none",  "malloc", "read",   "write",  "open",
                                      "close", "fsync",  "rename", "thread", "clock"};

Kind wanted = Kind::none;
std::int64_t at = 0;
bool for_ever = false, by_stack = false;
std::atomic<std::int64_t> calls{0};
std::atomic<bool> done{false};
thread_local bool inside = false;  // a call that the injection itself makes

constexpr std::size_t most_stacks = 1 << 16;
std::uint64_t stacks[most_stacks];
std::size_t stack_count = 0;
int seen_file = -1;

template <class F>
F real(const char* name) {
  return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}

// The callers, without the frames of the injection. Addresses are the same in each run without address space
// randomization (setarch -R).
std::uint64_t stack_hash() {
  void* frames[16];
  const int depth = backtrace(frames, 16);
  std::uint64_t hash = 14695981039346656037u;
  for (int i = 3; i < depth; ++i)
    hash = (hash ^ reinterpret_cast<std::uintptr_t>(frames[i])) * 1099511628211u;
  return hash;
}

bool is_new_stack() {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  const std::uint64_t hash = stack_hash();
  pthread_mutex_lock(&mutex);
  const bool known = std::binary_search(stacks, stacks + stack_count, hash);
  const bool first = !known && !done.exchange(true);
  if (first && seen_file >= 0) {
    static const auto write = real<ssize_t (*)(int, const void*, std::size_t)>("write");
    if (write(seen_file, &hash, sizeof hash) != sizeof hash) _exit(125);
  }
  pthread_mutex_unlock(&mutex);
  return first;
}

bool fails(Kind kind) {
  if (kind != wanted || inside) return false;
  inside = true;
  const std::int64_t n = ++calls;
  const bool now = by_stack ? !done && is_new_stack() : n == at || (for_ever && n > at);
  inside = false;
  return now;
}

// Counting begins with main: what a library allocates for its global variables, the program cannot guard.
void begin() {
  const char* fault = std::getenv("FAULT");
  if (!fault) return;
  inside = true;
  void* frame[1];
  backtrace(frame, 1);  // loads what it needs
  const char* colon = std::strchr(fault, ':');
  const auto length = static_cast<std::size_t>(colon ? colon - fault : 0);
  Kind kind = Kind::none;
  for (std::size_t i = 0; i < std::size(kind_names); ++i)
    if (std::strlen(kind_names[i]) == length && std::strncmp(kind_names[i], fault, length) == 0)
      kind = static_cast<Kind>(i);
  if (kind == Kind::none) {
    std::fprintf(stderr, "inject: FAULT: expected KIND:N, got %s\n", fault);
    _exit(125);
  }
  by_stack = std::strcmp(colon + 1, "new") == 0;
  at = std::atoll(colon + 1);
  for_ever = fault[std::strlen(fault) - 1] == '+';
  if (const char* seen = std::getenv("FAULT_SEEN"); by_stack && seen) {
    seen_file = open(seen, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    const ssize_t bytes = pread(seen_file, stacks, sizeof stacks, 0);
    stack_count = bytes > 0 ? static_cast<std::size_t>(bytes) / sizeof *stacks : 0;
    std::sort(stacks, stacks + stack_count);
  }
  inside = false;
  wanted = kind;
}

__attribute__((destructor)) void end() {
  const char* file = std::getenv("FAULT_COUNT");
  if (!file) return;
  inside = true;
  if (std::FILE* out = std::fopen(file, "w")) {
    std::fprintf(out, "%lld\n", static_cast<long long>(calls.load()));
    std::fclose(out);
  }
}

template <class T>
T failed(int error, T value) {
  errno = error;
  return value;
}

}  // namespace

extern "C" {

void* malloc(std::size_t size) {
  return fails(Kind::malloc) ? failed<void*>(ENOMEM, nullptr) : __libc_malloc(size);
}
void* calloc(std::size_t n, std::size_t size) {
  return fails(Kind::malloc) ? failed<void*>(ENOMEM, nullptr) : __libc_calloc(n, size);
}
void* realloc(void* old, std::size_t size) {
  return fails(Kind::malloc) ? failed<void*>(ENOMEM, nullptr) : __libc_realloc(old, size);
}
void* memalign(std::size_t alignment, std::size_t size) {
  return fails(Kind::malloc) ? failed<void*>(ENOMEM, nullptr) : __libc_memalign(alignment, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) { return memalign(alignment, size); }
int posix_memalign(void** out, std::size_t alignment, std::size_t size) {
  void* memory = memalign(alignment, size);
  if (!memory) return ENOMEM;
  *out = memory;
  return 0;
}

ssize_t read(int file, void* data, std::size_t size) {
  static const auto next = real<decltype(&read)>("read");
  return fails(Kind::read) ? failed<ssize_t>(EIO, -1) : next(file, data, size);
}
ssize_t pread(int file, void* data, std::size_t size, off_t offset) {
  static const auto next = real<decltype(&pread)>("pread");
  return fails(Kind::read) ? failed<ssize_t>(EIO, -1) : next(file, data, size, offset);
}
std::size_t fread(void* data, std::size_t size, std::size_t n, std::FILE* file) {
  static const auto next = real<decltype(&fread)>("fread");
  return fails(Kind::read) ? failed<std::size_t>(EIO, 0) : next(data, size, n, file);
}

// A full disk takes half of what it is given.
ssize_t write(int file, const void* data, std::size_t size) {
  static const auto next = real<decltype(&write)>("write");
  if (file <= STDERR_FILENO || !fails(Kind::write)) return next(file, data, size);
  if (size > 1) next(file, data, size / 2);
  return failed<ssize_t>(ENOSPC, -1);
}
ssize_t writev(int file, const iovec* parts, int count) {
  static const auto next = real<decltype(&writev)>("writev");
  if (file <= STDERR_FILENO || !fails(Kind::write)) return next(file, parts, count);
  return failed<ssize_t>(ENOSPC, -1);
}
std::size_t fwrite(const void* data, std::size_t size, std::size_t n, std::FILE* file) {
  static const auto next = real<decltype(&fwrite)>("fwrite");
  if (file == stdout || file == stderr || !fails(Kind::write)) return next(data, size, n, file);
  return failed<std::size_t>(ENOSPC, 0);
}

int open(const char* path, int flags, ...) {
  static const auto next = real<int (*)(const char*, int, ...)>("open");
  std::va_list more;
  va_start(more, flags);
  const int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, int) : 0;
  va_end(more);
  return fails(Kind::open) ? failed(EIO, -1) : next(path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  std::va_list more;
  va_start(more, flags);
  const int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, int) : 0;
  va_end(more);
  return open(path, flags, mode);
}
std::FILE* fopen(const char* path, const char* mode) {
  static const auto next = real<decltype(&fopen)>("fopen");
  return fails(Kind::open) ? failed<std::FILE*>(EIO, nullptr) : next(path, mode);
}
std::FILE* fopen64(const char* path, const char* mode) { return fopen(path, mode); }

int close(int file) {
  static const auto next = real<decltype(&close)>("close");
  const bool fail = fails(Kind::close);
  const int result = next(file);
  return fail ? failed(EIO, -1) : result;
}
int fsync(int file) {
  static const auto next = real<decltype(&fsync)>("fsync");
  return fails(Kind::fsync) ? failed(EIO, -1) : next(file);
}
int fdatasync(int file) {
  static const auto next = real<decltype(&fdatasync)>("fdatasync");
  return fails(Kind::fsync) ? failed(EIO, -1) : next(file);
}
int rename(const char* from, const char* to) {
  static const auto next = real<int (*)(const char*, const char*)>("rename");
  return fails(Kind::rename) ? failed(EIO, -1) : next(from, to);
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*), void* argument) {
  static const auto next = real<decltype(&pthread_create)>("pthread_create");
  return fails(Kind::thread) ? EAGAIN : next(thread, attributes, run, argument);
}

using Main = int (*)(int, char**, char**);
static Main program_main = nullptr;
static int counted_main(int count, char** arguments, char** environment) {
  begin();
  return program_main(count, arguments, environment);
}
int __libc_start_main(Main main, int count, char** arguments, void (*init)(), void (*fini)(),
                      void (*unload)(), void* stack_end) {
  static const auto next = real<decltype(&__libc_start_main)>("__libc_start_main");
  program_main = main;
  return next(counted_main, count, arguments, init, fini, unload, stack_end);
}

int clock_gettime(clockid_t clock, timespec* time) {
  static const auto next = real<decltype(&clock_gettime)>("clock_gettime");
  const int result = next(clock, time);
  if (wanted == Kind::clock && result == 0) time->tv_sec += at * (++calls / 1000 % 2);
  return result;
}

}  // extern "C"
