#pragma once
#include <functional>
#include <string>
#include <vector>

#include <karyon/core/tensor.h>

namespace karyon {

struct GradcheckOptions {
  double tolerance = 1e-6;                         ///< relative to max(1, |gradient|)
  std::vector<double> steps = {1e-4, 1e-5, 1e-6};  ///< the best-agreeing step counts, per element
  bool fast_mode = false;  ///< compares the slope along one random direction, not element by element
};

struct GradcheckResult {
  bool ok = true;
  double worst = 0;     ///< largest relative error
  std::string message;  ///< which input and element failed, and by how much
  explicit operator bool() const { return ok; }
};

/// Compares backward() with central differences, element by element, in f64.
///   f       maps the inputs to a tensor of any shape; a random weighting makes it a scalar
///   inputs  converted to f64; those of floating type are checked
/// f must be smooth around the inputs (keep away from relu's kink) and give the same output each call.
GradcheckResult gradcheck(const std::function<Tensor(const std::vector<Tensor>&)>& f,
                          const std::vector<Tensor>& inputs, GradcheckOptions options = {});

/// The same for the gradients of gradients: compares those of f's gradients with central differences. The
/// gradient of f's output, random too, is one more input. Throws Error for an operation whose gradient has
/// none.
GradcheckResult gradgradcheck(const std::function<Tensor(const std::vector<Tensor>&)>& f,
                              const std::vector<Tensor>& inputs, GradcheckOptions options = {});

}  // namespace karyon
