// A rank of a job: runs the scenarios that it is told, or all; or waits, or counts.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include <karyon/core/distributed/job.h>
#include <karyon/core/ops/loss.h>
#include <karyon/core/optim/sgd.h>
#include <karyon/core/random.h>
#include <karyon/layers/data_parallel.h>
#include <karyon/layers/norm.h>
#include <karyon/models/unet.h>

#include "../scenarios.h"

namespace {

using namespace karyon;
using Group = std::shared_ptr<distributed::ProcessGroup>;

// Until a rank is killed.
[[noreturn]] void wait(const Group& group) {
  for (int i = 0;; ++i) {
    group->barrier();
    if (i == 0) std::printf("rank %d waits\n", group->rank());
    std::fflush(stdout);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

// Seconds of processor time of the threads whose names are `ranks` or not.
double processor_seconds(bool ranks) {
  double sum = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    double nanoseconds = 0;
    std::ifstream(task.path() / "comm") >> name;
    std::ifstream(task.path() / "schedstat") >> nanoseconds;
    if ((name == "karyon-ranks") == ranks) sum += nanoseconds * 1e-9;
  }
  return sum;
}

// What training steps of the U-Net of nuclei send, and how long they wait for it.
void count(const Group& group, std::int64_t crop, int steps, std::int64_t bucket_bytes) {
  manual_seed(1);
  UNet net(UNetOptions{.out_channels = 3, .base_width = 32, .depth = 4});
  convert_sync_batchnorm(net, group);
  DistributedDataParallel parallel(net, group, {.bucket_bytes = bucket_bytes});
  SGD optimizer(net.parameters(), {.lr = 1e-3});
  Generator generator(static_cast<std::uint64_t>(group->rank()));
  const double computed_before = processor_seconds(false), sent_before = processor_seconds(true);
  const auto begin = std::chrono::steady_clock::now();
  for (int step = 0; step < steps; ++step) {
    const Tensor x = randn({2, crop, crop, 3}, generator), y = rand({2, crop, crop, 3}, generator);
    optimizer.zero_grad();
    bce_with_logits(parallel(x), y).backward();
    optimizer.step();
  }
  group->barrier();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  if (group->rank() > 0) return;
  const auto counts = parallel.counts();
  const double computed = processor_seconds(false) - computed_before,
               sent = processor_seconds(true) - sent_before;
  std::printf("%d ranks, %d steps of 2 crops of %lld pixels each: %.2f s a step\n", group->size(), steps,
              static_cast<long long>(crop), took.count() / steps);
  std::printf("buckets a step: %lld, of them begun in backward: %lld; gradients: %lld bytes\n",
              static_cast<long long>(counts.buckets / steps), static_cast<long long>(counts.early / steps),
              static_cast<long long>(counts.bytes / steps));
  std::printf("reducing gradients: %.3f s a step, of which backward waited %.3f s (%.0f %% overlap)\n",
              counts.seconds / steps, counts.waited / steps,
              100 * (1 - counts.waited / std::max(counts.seconds, 1e-9)));
  std::printf("processor time: %.3f s a step computing, %.3f s sending (%.1f %%)\n", computed / steps,
              sent / steps, 100 * sent / std::max(computed + sent, 1e-9));
}

void run(const Group& group, int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  const auto number = [&](int at, int otherwise) { return argc > at ? std::atoi(argv[at]) : otherwise; };
  if (what == "wait") wait(group);
  if (what == "count") return count(group, number(2, 128), number(3, 4), number(4, 4 << 20));
  for (const auto& [name, scenario] : distributed::scenarios())
    if (what.empty() || name == what) scenario(group);
  std::printf("rank %d of %d: passed\n", group->rank(), group->size());
}

}  // namespace

int main(int argc, char** argv) {
  Group group;
  try {
    group = distributed::init_process_group();
    run(group, argc, argv);
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "rank %d: %s\n", group ? group->rank() : -1, e.what());
    if (group) group->abort(1);
    return 1;
  }
}
