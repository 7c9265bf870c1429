// A rank of a job: runs the scenarios that it is told, or all. See run.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <thread>

#include <karyon/core/distributed/job.h>

#include "../scenarios.h"

int main(int argc, char** argv) {
  using namespace karyon;
  std::shared_ptr<distributed::ProcessGroup> group;
  try {
    group = distributed::init_process_group();
    if (argc > 1 && std::strcmp(argv[1], "wait") == 0) {  // until a rank is killed
      for (int i = 0;; ++i) {
        group->barrier();
        if (i == 0) std::printf("rank %d waits\n", group->rank()), std::fflush(stdout);
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      }
    }
    for (const auto& [name, scenario] : distributed::scenarios())
      if (argc < 2 || name == argv[1]) scenario(group);
    std::printf("rank %d of %d: passed\n", group->rank(), group->size());
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "rank %d: %s\n", group ? group->rank() : -1, e.what());
    if (group) group->abort(1);
    return 1;
  }
}
