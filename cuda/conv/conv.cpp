// Which implementation a convolution takes: the first of its list that does not refuse. The variable
// KARYON_CUDA_CONV in the environment (cudnn or gemm) leaves only the one it names.
#include <cstdlib>
#include <string>
#include <string_view>
#include <type_traits>

#include <karyon/core/kernels/conv.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/context.h>
#include <karyon/cuda/conv/conv.h>
#include <karyon/cuda/conv/conv_cudnn.h>
#include <karyon/cuda/conv/conv_epilogue.h>
#include <karyon/cuda/workspace.h>

namespace karyon::cuda {
namespace {

/// `run` computes and returns an empty string, or it returns the reason for refusing.
template <class... Args>
struct Implementation {
  const char* name;
  std::string (*run)(Args...);
};

std::string_view only_implementation() {
  static const std::string_view name = [] {
    const char* value = std::getenv("KARYON_CUDA_CONV");
    const std::string_view text = value ? value : "";
    check(text.empty() || text == "cudnn" || text == "gemm", "KARYON_CUDA_CONV: expects cudnn or gemm, got '",
          text, "'");
    return text;
  }();
  return name;
}

template <std::size_t n, class... Args>
void run_first(const char* op, const Implementation<Args...> (&list)[n], std::type_identity_t<Args>... args) {
  std::string refusals;
  for (const Implementation<Args...>& implementation : list) {
    std::string why = "KARYON_CUDA_CONV is " + std::string(only_implementation());
    if (only_implementation().empty() || only_implementation() == implementation.name)
      why = implementation.run(args...);
    if (why.empty()) return;
    refusals += std::string(refusals.empty() ? "" : "; ") + "not " + implementation.name + ": " + why;
  }
  check(false, op, ": ", refusals);
}

ConvProblem problem_of(ConvDirection direction, const ConvGeometry& g, DType dtype) {
  return {.direction = direction, .geometry = g, .dtype = dtype, .tf32 = dtype == f32 && tf32_allowed()};
}

// cuDNN adds a shift and takes the maximum in the convolution's own kernel. A scale is multiplied into the
// filters if they are smaller than the image. The remaining steps take one pass afterwards. Beside bf16 an
// f32 shift is rounded, as cuDNN requires. That costs no more precision than rounding the sum before the
// shift is added.
std::string affine_cudnn(const ConvGeometry& g, const Tensor& x, const Tensor& weight, const Tensor& scale,
                         const Tensor& shift, bool relu, Tensor& y) {
  ConvProblem problem = problem_of(ConvDirection::forward, g, x.dtype());
  ConvPointers pointers{.x = x.data_ptr(), .weight = weight.data_ptr(), .y = y.data_ptr()};
  const bool fold = scale.defined() && weight.numel() < y.numel();
  problem.shift = true;
  problem.relu = relu;
  if (shift.defined() && (fold || !scale.defined()) && !conv_cudnn_refused(problem)) {
    const bool round = shift.dtype() != x.dtype();
    Workspace rounded(round ? static_cast<std::size_t>(shift.numel()) * element_size(bf16) : 0);
    if (round) round_to_bf16(shift, rounded.data<BFloat16>());
    Workspace scaled(fold ? static_cast<std::size_t>(weight.numel()) * element_size(weight.dtype()) : 0);
    if (fold) {
      scale_filters(weight, scale, scaled.data<void>());
      pointers.weight = scaled.data<void>();
    }
    pointers.shift = round ? rounded.data<void>() : shift.data_ptr();
    if (conv_cudnn(problem, pointers).empty()) return {};
    pointers.shift = nullptr;
    pointers.weight = weight.data_ptr();
  }
  problem.shift = problem.relu = false;
  std::string why = conv_cudnn(problem, pointers);
  if (why.empty()) channel_affine(y, scale, shift, relu);
  return why;
}

std::string affine_gemm(const ConvGeometry& g, const Tensor& x, const Tensor& weight, const Tensor& scale,
                        const Tensor& shift, bool relu, Tensor& y) {
  conv2d_affine_gemm(g, x, weight, scale, shift, relu, y);
  return {};
}

std::string backward_data_cudnn(const ConvGeometry& g, const Tensor& dy, const Tensor& weight,
                                const Tensor& bias, Tensor& dx) {
  std::string why = conv_cudnn(problem_of(ConvDirection::backward_data, g, dy.dtype()),
                               {.x = dx.data_ptr(), .weight = weight.data_ptr(), .y = dy.data_ptr()});
  if (why.empty()) channel_affine(dx, {}, bias, false);
  return why;
}

std::string backward_data_gemm(const ConvGeometry& g, const Tensor& dy, const Tensor& weight,
                               const Tensor& bias, Tensor& dx) {
  conv2d_backward_data_gemm(g, dy, weight, bias, dx);
  return {};
}

std::string backward_weight_cudnn(const ConvGeometry& g, const Tensor& x, const Tensor& dy, Tensor& dweight) {
  if (dweight.dtype() != x.dtype()) return "the gradient has another dtype than x";
  return conv_cudnn(problem_of(ConvDirection::backward_weight, g, x.dtype()),
                    {.x = x.data_ptr(), .weight = dweight.data_ptr(), .y = dy.data_ptr()});
}

std::string backward_weight_gemm(const ConvGeometry& g, const Tensor& x, const Tensor& dy, Tensor& dweight) {
  conv2d_backward_weight_gemm(g, x, dy, dweight);
  return {};
}

void conv2d_affine(const ConvGeometry& g, const ConvHints&, const Tensor& x, const Tensor& weight,
                   const Tensor& scale, const Tensor& shift, const ConvFinish& finish, Tensor& y) {
  const bool relu = finish.activation == ActivationKind::relu && !finish.residual.defined();
  constexpr Implementation<const ConvGeometry&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                           bool, Tensor&>
      list[] = {{"cudnn", affine_cudnn}, {"gemm", affine_gemm}};
  run_first("conv2d", list, g, x, weight, scale, shift, relu, y);
  if (!relu) finish_in_place(y, finish);
}

void conv2d(const ConvGeometry& g, const ConvHints& hints, const Tensor& x, const Tensor& weight,
            const Tensor& bias, Tensor& y) {
  conv2d_affine(g, hints, x, weight, {}, bias, {}, y);
}

void conv2d_backward_data(const ConvGeometry& g, const ConvHints&, const Tensor& dy, const Tensor& weight,
                          const Tensor& bias, Tensor& dx) {
  constexpr Implementation<const ConvGeometry&, const Tensor&, const Tensor&, const Tensor&, Tensor&> list[] =
      {{"cudnn", backward_data_cudnn}, {"gemm", backward_data_gemm}};
  run_first("conv2d_backward_data", list, g, dy, weight, bias, dx);
}

void conv2d_backward_weight(const ConvGeometry& g, const Tensor& x, const Tensor& dy, Tensor& dweight) {
  constexpr Implementation<const ConvGeometry&, const Tensor&, const Tensor&, Tensor&> list[] = {
      {"cudnn", backward_weight_cudnn}, {"gemm", backward_weight_gemm}};
  run_first("conv2d_backward_weight", list, g, x, dy, dweight);
}

}  // namespace

void register_conv_kernels(KernelTable& table) {
  table.add<decltype(kernels::conv2d), conv2d>("conv2d");
  table.add<decltype(kernels::conv2d_affine), conv2d_affine>("conv2d_affine");
  table.add<decltype(kernels::conv2d_backward_data), conv2d_backward_data>("conv2d_backward_data");
  table.add<decltype(kernels::conv2d_backward_weight), conv2d_backward_weight>("conv2d_backward_weight");
  table.add<decltype(kernels::conv2d_backward_bias), conv2d_backward_bias>("conv2d_backward_bias");
}

}  // namespace karyon::cuda
