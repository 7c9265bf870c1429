#include "common/ranks.h"

#include <chrono>
#include <cstdio>
#include <thread>
#include <utility>

#include <karyon/core/distributed/job.h>
#include <karyon/core/distributed/rank_lost.h>

namespace nuclei {
namespace {

namespace distributed = karyon::distributed;

// Fitting thresholds to many images takes rank 0 long, and the others wait. A rank that ends is noticed at once.
constexpr double timeout = 12 * 3600;

std::shared_ptr<distributed::ProcessGroup> joined;

}  // namespace

const std::shared_ptr<distributed::ProcessGroup>& Ranks::group() {
  if (!joined) joined = distributed::init_process_group({.timeout = timeout});
  return joined;
}

bool Ranks::any(bool here) {
  if (size() == 1) return here;
  const karyon::Tensor all = karyon::tensor(here ? 1.0 : 0.0);
  group()->all_reduce(all, distributed::ReduceOp::max);
  return all.item() > 0;
}

double Ranks::of_first(double value) {
  share(&value, sizeof value, 0);
  return value;
}

void Ranks::share(void* data, std::size_t bytes, int owner) {
  if (size() == 1 || bytes == 0) return;
  group()->broadcast(karyon::from_blob(data, {static_cast<std::int64_t>(bytes)}, {.dtype = karyon::u8}),
                     owner);
}

void Ranks::leave() { joined.reset(); }

int Ranks::started() { return distributed::launch().size; }

bool Ranks::may_speak(const std::exception& error) {
  const distributed::Launch launch = distributed::launch();
  if (launch.size == 1) return true;
  const auto* lost = dynamic_cast<const distributed::RankLost*>(&error);
  const bool first = launch.rank == (lost && lost->rank() == 0 ? 1 : 0);
  if (!first) std::this_thread::sleep_for(std::chrono::seconds(2));
  return first || !lost || lost->rank() < 0;
}

void Ranks::end(int code) {
  if (joined && size() > 1) joined->abort(code);
}

// The library tells of lost ranks on the descriptor, whoever is quiet.
QuietRank::QuietRank() : kept_(stderr) {
  if (Ranks::is_first()) return;
  if (std::FILE* const nowhere = std::fopen("/dev/null", "w")) stderr = nowhere;
}

QuietRank::~QuietRank() {
  if (stderr != kept_) std::fclose(std::exchange(stderr, kept_));
}

}  // namespace nuclei
