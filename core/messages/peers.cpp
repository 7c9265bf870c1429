#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <sstream>

#include <karyon/core/messages/peers.h>

namespace karyon::distributed {
namespace {

struct Status {
  char state = 0;  // 0: there is no such process, or the system does not tell
  std::uint64_t started = 0;
};

// From /proc: the state is the first field behind the command's name, which may hold anything; the start is
// the twentieth.
Status status_of(std::int64_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::size_t name = text.rfind(')');
  if (name == std::string::npos) return {};
  std::istringstream fields(text.substr(name + 1));
  Status status;
  fields >> status.state;
  std::string skipped;
  for (int i = 0; i < 18; ++i) fields >> skipped;
  fields >> status.started;
  return status;
}

}  // namespace

Peer this_peer() {
  Peer self{.pid = getpid()};
  gethostname(self.host.data(), self.host.size() - 1);
  struct stat info = {};
  if (stat("/proc/self/ns/pid", &info) == 0) self.pid_namespace = info.st_ino;
  self.started = status_of(self.pid).started;
  return self;
}

bool has_ended(const Peer& peer, const Peer& self) {
  if (peer.host != self.host || peer.pid_namespace != self.pid_namespace) return false;
  if (kill(static_cast<pid_t>(peer.pid), 0) != 0 && errno == ESRCH) return true;
  if (peer.started == 0) return false;
  // A process that nobody has waited for yet is a zombie.
  const Status now = status_of(peer.pid);
  return now.state == 0 || now.state == 'Z' || now.state == 'X' || now.started != peer.started;
}

std::string host_of(const Peer& peer) { return {peer.host.begin(), std::ranges::find(peer.host, '\0')}; }

}  // namespace karyon::distributed
