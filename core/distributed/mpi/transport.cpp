// MPI behind the interface that core opens at run time. Only messages between two ranks are used: core adds up
// by itself, in an order that it knows, so that results do not depend on MPI's choices.
#include <mpi.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string_view>
#include <vector>

#include <karyon/core/check.h>
#include <karyon/core/messages/transport.h>

#define KARYON_EXPORT extern "C" __attribute__((visibility("default")))

namespace karyon::distributed {
namespace {

constexpr std::size_t largest = std::size_t{1} << 30;  // bytes of one message; MPI counts in int

void require(int code, const char* what) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  check(false, "MPI: ", what, ": ", std::string_view(text, static_cast<std::size_t>(length)));
}

class MpiTransport : public Transport {
 public:
  MpiTransport() {
    int level = 0;
    require(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &level), "starting");
    check(level >= MPI_THREAD_SERIALIZED,
          "MPI: expects an MPI that may be called by one thread after another");
    // Messages of Karyon do not meet those of other code in this process.
    require(MPI_Comm_dup(MPI_COMM_WORLD, &job_), "starting");
    MPI_Comm_set_errhandler(job_, MPI_ERRORS_RETURN);
    MPI_Comm_rank(job_, &rank_);
    MPI_Comm_size(job_, &size_);
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void send(int to, const void* data, std::size_t bytes) override {
    in_parts(bytes, [&](std::size_t begin, int count) {
      require(MPI_Isend(static_cast<const char*>(data) + begin, count, MPI_BYTE, to, 0, job_, next(to, -1)),
              "sending");
    });
  }

  void receive(int from, void* data, std::size_t bytes) override {
    in_parts(bytes, [&](std::size_t begin, int count) {
      require(MPI_Irecv(static_cast<char*>(data) + begin, count, MPI_BYTE, from, 0, job_, next(from, count)),
              "receiving");
    });
  }

  bool finished() override {
    if (requests_.empty()) return true;
    int done = 0;
    statuses_.resize(requests_.size());
    const int code =
        MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &done, statuses_.data());
    if (code == MPI_ERR_IN_STATUS)
      for (std::size_t i = 0; i < requests_.size(); ++i)
        if (statuses_[i].MPI_ERROR != MPI_ERR_PENDING) require(statuses_[i].MPI_ERROR, "a message");
    require(code, "messages");
    if (!done) return false;
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      if (expected_[i].bytes < 0) continue;
      int bytes = 0;
      MPI_Get_count(&statuses_[i], MPI_BYTE, &bytes);
      check(bytes == expected_[i].bytes, "rank ", expected_[i].rank, " sent ", bytes, " bytes, expected ",
            expected_[i].bytes, ": do all ranks call the same operations with the same shapes?");
    }
    requests_.clear();
    expected_.clear();
    return true;
  }

  void leave() override { require(MPI_Finalize(), "leaving"); }

  [[noreturn]] void abort(int code) override {
    MPI_Abort(MPI_COMM_WORLD, code);
    std::_Exit(code);
  }

 private:
  struct Expected {
    int rank, bytes;  // bytes below 0: sent, not received
  };

  template <class F>
  static void in_parts(std::size_t bytes, const F& f) {
    std::size_t begin = 0;
    do {
      const std::size_t count = std::min(bytes - begin, largest);
      f(begin, static_cast<int>(count));
      begin += count;
    } while (begin < bytes);
  }

  MPI_Request* next(int rank, int bytes) {
    expected_.push_back({rank, bytes});
    return &requests_.emplace_back(MPI_REQUEST_NULL);
  }

  MPI_Comm job_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1;
  std::vector<MPI_Request> requests_;
  std::vector<MPI_Status> statuses_;
  std::vector<Expected> expected_;  // of each request
};

}  // namespace
}  // namespace karyon::distributed

KARYON_EXPORT karyon::distributed::Transport* karyon_mpi_open(const char* abi, char* why, std::size_t size) {
  try {
    karyon::check(std::strcmp(abi, KARYON_MPI_ABI) == 0,
                  "libkaryon_mpi.so is of another build: ", KARYON_MPI_ABI, ", not ", abi);
    int begun = 0;
    MPI_Initialized(&begun);
    karyon::check(!begun, "MPI: this process has joined its job already");
    return new karyon::distributed::MpiTransport;
  } catch (const std::exception& e) {
    const std::string_view text = e.what();
    const std::size_t length = std::min(text.size(), size - 1);
    std::copy_n(text.begin(), length, why);
    why[length] = '\0';
    return nullptr;
  }
}
