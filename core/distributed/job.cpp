#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include <karyon/core/distributed/job.h>
#include <karyon/core/messages/collectives.h>
#include <karyon/core/plugin.h>

namespace karyon::distributed {
namespace {

int number_from(const char* variable, int lowest) {
  const char* text = std::getenv(variable);
  int number = 0;
  const char* end = text ? text + std::strlen(text) : nullptr;
  const bool is_number = text && std::from_chars(text, end, number).ptr == end && end != text;
  check(is_number && number >= lowest, variable, ": expects a number from ", lowest, ", got '",
        text ? text : "", "'");
  return number;
}

struct Plugin {
  OpenTransport* open = nullptr;
  std::string why;  // there is none
};

const Plugin& mpi() {
  static const Plugin* instance = [] {
    auto* opened = new Plugin;
    opened->why =
        plugin::open({.library = "libkaryon_mpi.so", .environment = "KARYON_MPI_PLUGIN", .what = "MPI part"},
                     [opened](const plugin::Find& find) -> plugin::Attempt {
                       opened->open = reinterpret_cast<OpenTransport*>(find("karyon_mpi_open"));
                       const bool found = opened->open != nullptr;
                       return {.good = found, .ours = found};
                     })
            .why;
    return opened;
  }();
  return *instance;
}

std::unique_ptr<Collectives> join(const Launch& started, double timeout) {
  const std::string processes =
      started.launcher + " started " + std::to_string(started.size) + " processes to work together, but ";
  check(mpi().open != nullptr, processes, mpi().why);
  char why[512] = "";
  std::unique_ptr<Transport> transport(mpi().open(KARYON_MPI_ABI, why, sizeof why));
  check(transport != nullptr, processes, why);
  check(transport->size() == started.size, processes, "MPI sees ", transport->size(),
        ": is it the MPI that Karyon was built with? With srun, try --mpi=pmix");
  return message_collectives(std::move(transport), timeout);
}

}  // namespace

Launch launch() {
  struct Kind {
    const char *launcher, *rank, *size;
  };
  constexpr std::array kinds{Kind{"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                             Kind{"mpiexec", "PMI_RANK", "PMI_SIZE"},
                             Kind{"srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"}};
  for (const Kind& kind : kinds) {
    if (!std::getenv(kind.rank) || !std::getenv(kind.size)) continue;
    const Launch found{kind.launcher, number_from(kind.rank, 0), number_from(kind.size, 1)};
    check(found.rank < found.size, kind.rank, ": expects a number below ", found.size, ", got ", found.rank);
    return found;
  }
  return {};
}

std::shared_ptr<ProcessGroup> init_process_group(const InitOptions& options) {
  check(options.timeout > 0, "init_process_group: expects a timeout above 0, got ", options.timeout);
  const Launch started = launch();
  if (started.size == 1) return std::make_shared<ProcessGroup>();
  return std::make_shared<ProcessGroup>([&] { return join(started, options.timeout); });
}

std::string why_no_mpi() { return mpi().open ? "" : mpi().why; }

}  // namespace karyon::distributed
