#pragma once
#include <cudnn.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

// Graphs as cuDNN's interface describes them: descriptors with attributes.
namespace cudnn_shim {

struct Node;
using NodePtr = std::shared_ptr<Node>;

struct Attribute {
  std::vector<char> bytes;
  std::vector<NodePtr> nodes;  // where it is other descriptors
};

struct Node {
  cudnnBackendDescriptorType_t type;
  std::map<int, Attribute> attributes;

  template <class T>
  std::vector<T> values(int name) const {
    const auto it = attributes.find(name);
    if (it == attributes.end()) return {};
    std::vector<T> out(it->second.bytes.size() / sizeof(T));
    std::memcpy(out.data(), it->second.bytes.data(), out.size() * sizeof(T));
    return out;
  }
  template <class T>
  T value(int name, T otherwise) const {
    const std::vector<T> all = values<T>(name);
    return all.empty() ? otherwise : all[0];
  }
  NodePtr node(int name) const {
    const auto it = attributes.find(name);
    return it == attributes.end() || it->second.nodes.empty() ? nullptr : it->second.nodes[0];
  }
};

// What the interface answers by a status and a text.
struct Failed {
  cudnnStatus_t status;
  std::string text;
};

}  // namespace cudnn_shim
