#pragma once
#include <memory>
#include <string>

#include <karyon/core/distributed/process_group.h>

namespace karyon::distributed {

/// What started this process, and as which of how many.
struct Launch {
  std::string launcher;  ///< mpirun, mpiexec or srun; empty: none of them
  int rank = 0, size = 1;
};

/// From the environment: OMPI_COMM_WORLD_RANK and _SIZE (Open MPI), PMI_RANK and _SIZE (MPICH and others),
/// SLURM_PROCID and SLURM_STEP_NUM_TASKS. Throws Error where they are no numbers.
Launch launch();

struct InitOptions {
  double timeout = 1800;  ///< seconds to wait for other ranks before an operation fails
};

/// Joins the job that this process is a part of, as torch.distributed.init_process_group with MPI. A process
/// that was started alone gets a group of one and needs no MPI. A process joins once: MPI cannot begin again.
/// Throws Error if other processes were started beside this one but MPI is not there or does not see them.
std::shared_ptr<ProcessGroup> init_process_group(const InitOptions& options = {});

/// Why this process cannot work with others; empty if it can. Opens libkaryon_mpi.so, but joins nothing.
std::string why_no_mpi();
inline bool is_mpi_available() { return why_no_mpi().empty(); }

}  // namespace karyon::distributed
