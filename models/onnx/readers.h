#pragma once
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <karyon/models/onnx/graph.h>

namespace karyon::onnx {

/// Who reads each name of a graph: nodes by their places, and others (outputs, graphs in graphs) as fixed.
class Readers {
 public:
  explicit Readers(const Graph& graph) {
    for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
      for (const std::string& name : graph.nodes[i].inputs) add(name, i);
      for (const auto& [key, attribute] : graph.nodes[i].attributes)
        if (attribute.g)
          for (const std::string& name : free_names(*attribute.g)) fixed_.insert(name);
    }
    fixed_.insert(graph.outputs.begin(), graph.outputs.end());
  }
  bool is_fixed(const std::string& name) const { return fixed_.count(name) != 0; }
  /// The place of the only reader, or -1.
  std::ptrdiff_t only(const std::string& name) const {
    const auto found = readers_.find(name);
    if (is_fixed(name) || found == readers_.end() || found->second.size() != 1) return -1;
    return static_cast<std::ptrdiff_t>(found->second[0]);
  }
  /// The places of all readers; none if others read it, too.
  std::vector<std::size_t> all(const std::string& name) const {
    const auto found = readers_.find(name);
    return is_fixed(name) || found == readers_.end() ? std::vector<std::size_t>() : found->second;
  }

 private:
  void add(const std::string& name, std::size_t node) { readers_[name].push_back(node); }

  std::map<std::string, std::vector<std::size_t>> readers_;
  std::set<std::string> fixed_;
};

inline bool is_own(const Node& node, const char* type) { return node.domain.empty() && node.type == type; }

inline void remove_nodes(Graph& graph, const std::set<std::size_t>& places) {
  std::vector<Node> kept;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i)
    if (places.count(i) == 0) kept.push_back(std::move(graph.nodes[i]));
  graph.nodes = std::move(kept);
}

}  // namespace karyon::onnx
