#pragma once
#include <cstddef>

namespace karyon::distributed {

/// Messages between the processes of a job, and the interface between core and libkaryon_mpi.so. All calls
/// come from one thread. Errors are thrown as karyon::Error.
class Transport {
 public:
  virtual ~Transport() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// Begin to send or to receive. The memory stays, and is not written to, until finished() was true.
  /// Messages from one rank to another arrive in the order in which they were sent.
  virtual void send(int to, const void* data, std::size_t bytes) = 0;
  virtual void receive(int from, void* data, std::size_t bytes) = 0;
  /// Whether all that was begun is done. Does not wait. Throws if a message had another length.
  virtual bool finished() = 0;

  /// Leaves the job; every rank calls it, at its end.
  virtual void leave() = 0;
  /// Ends all processes of the job with this exit code.
  [[noreturn]] virtual void abort(int code) = 0;
};

/// karyon_mpi_open: joins the job that this process was started for. It returns nullptr, and in `why` the
/// reason in one line, where that fails. `abi` is what core was built with (KARYON_MPI_ABI); the plugin refuses
/// any other.
using OpenTransport = Transport*(const char* abi, char* why, std::size_t size);

}  // namespace karyon::distributed
