#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <thread>

#include <karyon/core/after_backward.h>
#include <karyon/core/distributed/job.h>
#include <karyon/core/distributed/sync_batch_norm.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/layers/data_parallel.h>
#include <karyon/layers/linear.h>

#include "scenarios.h"
#include "threads.h"

using namespace karyon;
using namespace karyon::distributed;
using Catch::Contains;

namespace {

class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Environment() { unsetenv(name_); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
};

}  // namespace

TEST_CASE("distributed: scenarios with 1 to 4 ranks as threads") {
  for (const auto& [name, scenario] : scenarios())
    for (const int size : {1, 2, 3, 4}) {
      INFO(name << " with " << size << " ranks");
      CHECK_NOTHROW(on_ranks(size, scenario));
    }
}

TEST_CASE("distributed: a group of one needs nothing") {
  const auto group = std::make_shared<ProcessGroup>();
  for (const auto& [name, scenario] : scenarios()) {
    INFO(name);
    CHECK_NOTHROW(scenario(group));
  }
}

TEST_CASE("distributed: ranks that disagree get an Error, and then all that follows does") {
  CHECK_THROWS_WITH(on_ranks(2, [](auto group) { group->all_gather(zeros({group->rank() + 1})); }),
                    Contains("rank 1 sent 8 bytes, expected 4"));
  on_ranks(2, [](auto group) {
    const auto fails = [](const auto& task) {
      try {
        task();
      } catch (const Error&) {
        return true;
      }
      return false;
    };
    check(fails([&] { group->all_gather(zeros({group->rank() + 1})); }), "all_gather did not fail");
    check(fails([&] { group->barrier(); }), "barrier did not fail");
  });
}

TEST_CASE("distributed: a rank that does not come is waited for as long as the timeout says") {
  std::atomic<bool> over = false;
  const auto body = [&over](auto group) {
    while (group->rank() == 1 && !over) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    try {
      group->all_reduce(zeros({4}));
    } catch (const Error&) {
      over = true;
      throw;
    }
  };
  CHECK_THROWS_WITH(on_ranks(2, body, 0.3), Contains("rank 0 has waited 0.3 seconds for the other ranks"));
}

TEST_CASE("distributed: what operations do not take") {
  ProcessGroup group;
  CHECK_THROWS_WITH(group.all_reduce(zeros({2}, {.dtype = u8})), Contains("all_reduce: expects f32"));
  CHECK_THROWS_WITH(group.all_reduce(zeros({2}, {.dtype = i64}), ReduceOp::avg),
                    Contains("without a mean, got i64"));
  CHECK_THROWS_WITH(group.all_reduce({}), Contains("expects a tensor, got none"));
  CHECK_THROWS_WITH(group.broadcast(zeros({2}), 1), Contains("expects a root from 0 to 0, got 1"));
  CHECK_THROWS_WITH(group.broadcast({}), Contains("expects a tensor"));
  CHECK_THROWS_WITH(group.all_gather({}), Contains("expects a tensor"));
}

TEST_CASE("distributed: networks of ranks must be the same") {
  CHECK_THROWS_WITH(on_ranks(2,
                             [](auto group) {
                               Linear net(2, 2 + group->rank());
                               DistributedDataParallel parallel(net, group);
                             }),
                    Contains("ranks have networks with other names, shapes or dtypes"));
}

TEST_CASE("distributed: what started the program is in its environment") {
  CHECK(launch().size == 1);
  CHECK(launch().launcher.empty());
  CHECK(init_process_group()->size() == 1);
  {
    const Environment rank("SLURM_PROCID", "2"), size("SLURM_STEP_NUM_TASKS", "3");
    CHECK(launch().launcher == "srun");
    CHECK(launch().rank == 2);
    CHECK(launch().size == 3);
    const Environment missing("KARYON_MPI_PLUGIN", "/nowhere/libkaryon_mpi.so");
    CHECK_THROWS_WITH(init_process_group(),
                      Contains("srun started 3 processes to work together, but /nowhere/libkaryon_mpi.so"));
    CHECK_FALSE(is_mpi_available());
  }
  {
    const Environment rank("PMI_RANK", "0"), size("PMI_SIZE", "4");
    CHECK(launch().launcher == "mpiexec");
  }
  {
    const Environment rank("OMPI_COMM_WORLD_RANK", "4"), size("OMPI_COMM_WORLD_SIZE", "4");
    CHECK_THROWS_WITH(launch(), Contains("OMPI_COMM_WORLD_RANK: expects a number below 4, got 4"));
  }
  {
    const Environment rank("PMI_RANK", "0"), size("PMI_SIZE", "many");
    CHECK_THROWS_WITH(launch(), Contains("PMI_SIZE: expects a number from 1, got 'many'"));
  }
  CHECK_THROWS_WITH(init_process_group({.timeout = 0}), Contains("expects a timeout above 0"));
}

TEST_CASE("distributed: a leaf's hook runs as soon as its gradient is whole") {
  std::vector<std::string> order;
  Tensor x = ones({2}).requires_grad_(), w = ones({2}).requires_grad_();
  const auto note = [&order](const char* name) {
    return [&order, name](const Tensor&) {
      order.emplace_back(name);
      return Tensor();
    };
  };
  Tensor first = x * 2;  // x is used twice, w once and last
  first.register_hook(note("first"));
  Tensor second = first * x * w;
  x.register_hook(note("x"));
  w.register_hook([&](const Tensor&) {
    order.emplace_back("w");
    after_backward([&] { order.emplace_back(x.grad().defined() ? "after" : "too early"); });
    return Tensor();
  });
  sum(second).backward();
  CHECK(order == std::vector<std::string>{"w", "first", "x", "after"});
  CHECK_THROWS_WITH(after_backward([] {}), Contains("no backward() is going on"));
}

TEST_CASE("distributed: after a backward() that throws, the next one begins anew") {
  on_ranks(2, [](auto group) {
    Linear net(2, 2);
    DistributedDataParallel parallel(net, group, {.bucket_bytes = 1 << 20});
    Tensor x = ones({1, 2}).requires_grad_();
    bool fails = true;
    x.register_hook([&fails](const Tensor&) -> Tensor {
      check(!fails, "on purpose");
      return {};
    });
    try {
      sum(parallel(x)).backward();
      check(false, "backward did not throw");
    } catch (const Error& e) {
      check(std::string(e.what()) == "on purpose", e.what());
    }
    net.zero_grad();
    fails = false;
    sum(parallel(x * (group->rank() + 1))).backward();
    check(net.weight.grad()[0][0].item() == 1.5f, "expects 1.5, got ", net.weight.grad());
  });
}
