#pragma once

#include <cstddef>
#include <cstdio>
#include <exception>
#include <memory>

#include <karyon/core/distributed/process_group.h>

namespace nuclei {

/// The processes that mpirun or srun started to do one task together. A command that can share its task joins
/// them; the others refuse to be started several times.
class Ranks {
 public:
  /// Joins on the first call; a process that was started alone is a group of one. Throws karyon::Error.
  static const std::shared_ptr<karyon::distributed::ProcessGroup>& group();
  static int rank() { return group()->rank(); }
  static int size() { return group()->size(); }
  /// Rank 0 writes the files that all share, and speaks.
  static bool is_first() { return rank() == 0; }

  // All ranks call these at the same place.
  /// Whether it holds for a rank.
  static bool any(bool here);
  /// The value of rank 0.
  static double of_first(double value);
  /// Rank `owner`'s memory, on all ranks.
  static void share(void* data, std::size_t bytes, int owner);

  /// Leaves together with all ranks.
  static void leave();
  /// How many processes were started to work together, whether they joined or not.
  static int started();
  /// Whether this rank is to print an error. Where several have the same one, the first speaks: the others wait
  /// here for a while, in which it ends the job.
  static bool may_speak(const std::exception& error);
  /// After an error: ends all processes. Returns where this one is alone.
  static void end(int code);
};

/// While it lives, this process says nothing on stderr, unless it is rank 0.
class QuietRank {
 public:
  QuietRank();
  ~QuietRank();
  QuietRank(const QuietRank&) = delete;
  QuietRank& operator=(const QuietRank&) = delete;

 private:
  std::FILE* kept_;
};

}  // namespace nuclei
