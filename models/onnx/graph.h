#pragma once
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <karyon/models/onnx/value.h>

namespace karyon::onnx {

struct Graph;
struct Operator;

struct Attribute {
  double f = 0;
  std::int64_t i = 0;
  std::string s;
  Value t;
  std::shared_ptr<Graph> g;
  std::vector<double> floats;
  std::vector<std::int64_t> ints;
  std::vector<std::string> strings;
};

struct Node {
  std::string type, domain, name;  // the name is "node 3" if the file has none
  std::vector<std::string> inputs, outputs;
  std::map<std::string, Attribute> attributes;
  std::vector<std::string> dying;  // names whose last reader this node is
  const Operator* op = nullptr;

  const Attribute* find(const std::string& attribute) const;
  bool has(const std::string& attribute) const { return find(attribute) != nullptr; }
  std::int64_t integer(const std::string& attribute, std::int64_t otherwise) const;
  double real(const std::string& attribute, double otherwise) const;
  std::string text_of(const std::string& attribute, const std::string& otherwise) const;
  std::vector<std::int64_t> integers(const std::string& attribute,
                                     std::vector<std::int64_t> otherwise = {}) const;
};

/// What a file says about a name before anything runs.
struct Fact {
  int type = undefined_type;
  bool is_tensor = true;
  std::optional<std::vector<std::int64_t>> sizes;  // -1 where a size is open
  Tensor known;                                    // the value of a constant
};
using Facts = std::map<std::string, Fact>;
/// What is known of input i of a node, or null.
const Fact* fact_of(const Facts& facts, const Node& node, std::size_t input);
/// The number of dimensions of input i, or -1.
int dims_of(const Facts& facts, const Node& node, std::size_t input);

struct Initializer {
  std::string name;
  Value value;
  bool trainable = false;
};

struct Graph {
  std::vector<Node> nodes;
  std::vector<std::string> inputs, outputs;
  std::vector<Initializer> initializers;
  std::map<std::string, Value> constants;  // what nodes that are gone would compute each time
  Facts facts;
};

/// A whole file.
class Program {
 public:
  Graph graph;
  std::map<std::string, std::int64_t> opsets;  // by domain; "" is ONNX's own
  std::string file;

  std::int64_t opset() const;
};

/// Reads a file and checks its form: values are made before they are read, sizes fit the data.
std::shared_ptr<Program> read_program(const std::filesystem::path& path);
/// Finds the operator of each node. Throws Error, which lists all that are missing.
void find_operators(Program& program);
/// Decides which initializers train, drops their names from the inputs, and stores filters as kernels read
/// them.
void prepare_state(Graph& graph);
/// Names that stand for others. Values that are the same each time, from whole numbers of the file. Both leave
/// fewer nodes.
void remove_identities(Graph& graph);
void fold_constants(Program& program);
/// Notes for each node which names it reads last.
void find_last_uses(Graph& graph);
/// Names that a graph reads from around it.
std::set<std::string> free_names(const Graph& graph);

/// The outputs of a graph. `outer` holds what a subgraph reads from around it.
class Scope {
 public:
  Scope(const Program& program, const Scope* outer) : program_(&program), outer_(outer) {}
  void set(const std::string& name, Value value);
  /// Runs all nodes and returns the outputs; intermediate values are dropped after their last use.
  Values run(const Graph& graph);
  const Program& program() const { return *program_; }

 private:
  const Value* find(const std::string& name) const;

  const Program* program_;
  const Scope* outer_;
  std::map<std::string, Value> values_;
};

}  // namespace karyon::onnx
