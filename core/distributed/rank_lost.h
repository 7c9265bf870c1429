#pragma once
#include <string>

#include <karyon/core/check.h>

namespace karyon::distributed {

/// Thrown by operations of a group whose ranks are not all there any more.
class RankLost : public Error {
 public:
  RankLost(const std::string& what, int rank) : Error(what), rank_(rank) {}
  /// The one that has ended; -1 where nothing came for too long, and no one knows why.
  int rank() const { return rank_; }

 private:
  int rank_;
};

}  // namespace karyon::distributed
