#pragma once
#include <string>
#include <vector>

#include <karyon/cuda/conv/conv_cudnn.h>
#include <karyon/cuda/conv/cudnn.h>

// The questions about convolutions to cuDNN. They need libcudnn and the properties of a device, but no
// device.
namespace karyon::cuda {

/// "conv2d forward f32 [4, 256, 256, 3] * [32, 3, 3, 3] -> [4, 256, 256, 32], stride (1, 1), ...".
std::string describe(const ConvProblem& problem);

/// The tensors of the graphs by their numbers, all of the problem's dtype; `shift` is [K].
enum class ConvTensor : std::int64_t { x = 1, weight, y, shift };

/// Options of the search for plans.
struct ConvPlanSearch {
  std::size_t most = 1;           ///< stop at this many
  bool runtime_compiled = false;  ///< also kernels that cuDNN compiles when the plan is made, for seconds
  std::size_t max_workspace = std::size_t{1} << 30;  ///< bytes
};

/// Plans for a convolution, best first, and why there are not more.
struct ConvPlans {
  std::vector<cudnn::Plan> plans;
  int proposed = 0;          ///< engine configurations that cuDNN named
  int nondeterministic = 0;  ///< left out because they may give other bits in another run
  int imprecise = 0;         ///< left out because they round f32 products
  int compiled = 0;          ///< left out because they are compiled at run time
  int unsupported = 0;       ///< refused by cuDNN when made ready
  int large = 0;             ///< left out because of their workspace

  /// "31 engine configurations: 1 ready, 30 round f32 products".
  std::string explain() const;
};

/// Plans that cuDNN makes ready for this device; the steps after the convolution run in the same kernel.
/// Their results are deterministic, and products of f32 are not rounded unless the problem says tf32. The
/// result is empty if cuDNN has none. Throws Error with cuDNN's reason if it rejects the convolution.
ConvPlans find_conv_plans(const ConvProblem& problem, const cudnn::Target& target,
                          const ConvPlanSearch& search = {});

}  // namespace karyon::cuda
