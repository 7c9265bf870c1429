#pragma once
#include <functional>
#include <map>

#include <karyon/karyon.h>

#include "calls.h"

// What the tables of operations share.
namespace parity {

using namespace karyon;

struct Results : std::vector<Tensor> {
  Results(const Tensor& one) : std::vector<Tensor>{one} {}
  Results(const std::vector<Tensor>& all) : std::vector<Tensor>(all) {}
};
using Operation = std::function<Results(const Call&)>;

inline Operation unary(Tensor (*f)(const Tensor&)) {
  return [f](const Call& c) { return f(c[0]); };
}
inline Operation binary(Tensor (*f)(const Tensor&, const Tensor&)) {
  return [f](const Call& c) { return f(c[0], c[1]); };
}
inline Operation with_number(Tensor (*f)(const Tensor&, double)) {
  return [f](const Call& c) { return f(c[0], c.number("value")); };
}
inline int dim(const Call& c, const char* key = "dim") { return static_cast<int>(c.integer(key)); }
inline Reduction reduction_of(const Call& c) { return static_cast<Reduction>(c.integer("reduction")); }

using Table = std::map<std::string, Operation>;
extern const Table pointwise, losses;  // calls_pointwise.cpp
extern const Table attention;          // calls_attention.cpp
extern const Table vision;             // calls_vision.cpp

}  // namespace parity
