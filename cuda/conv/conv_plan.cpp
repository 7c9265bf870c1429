#include <algorithm>
#include <array>
#include <sstream>

#include <karyon/core/check.h>
#include <karyon/core/kernels/conv.h>
#include <karyon/cuda/conv/conv_plan.h>

namespace karyon::cuda {
namespace {

using cudnn::Descriptor;

cudnnDataType_t data_type(DType dtype) {
  check(dtype == f32 || dtype == bf16, "cudnn: expects f32 or bf16, got ", dtype);
  return dtype == f32 ? CUDNN_DATA_FLOAT : CUDNN_DATA_BFLOAT16;
}

constexpr std::int64_t uid(ConvTensor tensor) { return static_cast<std::int64_t>(tensor); }

Descriptor convolution(const ConvGeometry& g) {
  const std::array<std::int64_t, 2> stride{g.stride.h, g.stride.w}, padding{g.padding.h, g.padding.w},
      dilation{g.dilation.h, g.dilation.w};
  Descriptor convolution(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  convolution.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION)
      .set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, std::int64_t{2})
      .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, std::span(stride))
      .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, std::span(padding))
      .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, std::span(padding))
      .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, std::span(dilation));
  convolution.finalize();
  return convolution;
}

// The same operation in three directions: its descriptor's type and the names of its attributes.
struct Names {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t convolution, x, weight, y, alpha, beta;
};

Names names_of(ConvDirection direction) {
  switch (direction) {
    case ConvDirection::backward_data:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    case ConvDirection::backward_weight:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
    case ConvDirection::forward: break;
  }
  return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
}

Descriptor operation_graph(const ConvProblem& p, const cudnn::Target& target) {
  const ConvGeometry& g = p.geometry;
  const cudnnDataType_t type = data_type(p.dtype);
  check(!(p.shift || p.relu) || p.direction == ConvDirection::forward,
        "cudnn: expects a shift or ReLU only behind a forward convolution");
  check(g.groups >= 1 && g.c % g.groups == 0 && g.k % g.groups == 0, "cudnn: ", g.c, " input and ", g.k,
        " output channels do not divide into ", g.groups, " groups");

  std::int64_t next_uid = 100;
  const auto result = [&](bool last) {  // only the last value is seen outside of the graph
    return cudnn::tensor(last ? uid(ConvTensor::y) : next_uid++, last ? type : CUDNN_DATA_FLOAT, g.n, g.h_out,
                         g.w_out, g.k, !last);
  };
  const Descriptor x = cudnn::tensor(uid(ConvTensor::x), type, g.n, g.h, g.w, g.c);
  const Descriptor weight =
      cudnn::tensor(uid(ConvTensor::weight), type, g.k, g.kernel.h, g.kernel.w, g.c / g.groups);
  Descriptor y = result(!p.shift && !p.relu);
  const Names names = names_of(p.direction);
  const Descriptor conv = convolution(g);
  std::vector<Descriptor> operations;
  operations.emplace_back(names.type)
      .set(names.convolution, conv)
      .set(names.x, x)
      .set(names.weight, weight)
      .set(names.y, y)
      .set(names.alpha, 1.0f)
      .set(names.beta, 0.0f)
      .finalize();
  if (p.shift) {
    const Descriptor shift = cudnn::tensor(uid(ConvTensor::shift), type, 1, 1, 1, g.k);
    Descriptor sum = result(!p.relu);
    operations.push_back(cudnn::pointwise(CUDNN_POINTWISE_ADD, y, &shift, sum));
    y = std::move(sum);
  }
  if (p.relu) operations.push_back(cudnn::pointwise(CUDNN_POINTWISE_RELU_FWD, y, nullptr, result(true)));

  Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, std::span<const Descriptor>(operations));
  target.set(graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, {});
  graph.finalize();
  return graph;
}

template <class T>
bool contains(const std::vector<T>& notes, T note) {
  return std::find(notes.begin(), notes.end(), note) != notes.end();
}

}  // namespace

std::string describe(const ConvProblem& p) {
  const ConvGeometry& g = p.geometry;
  const Shape x{g.n, g.h, g.w, g.c},
      weight{g.k, g.kernel.h, g.kernel.w, g.c / std::max<std::int64_t>(g.groups, 1)},
      y{g.n, g.h_out, g.w_out, g.k};
  std::ostringstream text;
  text << "conv2d ";
  switch (p.direction) {
    case ConvDirection::forward: text << "forward"; break;
    case ConvDirection::backward_data: text << "backward in its input"; break;
    case ConvDirection::backward_weight: text << "backward in its weight"; break;
  }
  text << ' ' << p.dtype << (p.tf32 ? " (TF32)" : "") << ": x " << x << ", weight " << weight << ", y " << y
       << ", stride " << g.stride << ", padding " << g.padding << ", dilation " << g.dilation << ", groups "
       << g.groups;
  if (p.shift || p.relu) text << ", then" << (p.shift ? " shift" : "") << (p.relu ? " relu" : "");
  return text.str();
}

std::string ConvPlans::explain() const {
  std::ostringstream text;
  text << proposed << " engine configurations: " << plans.size() << " ready";
  if (nondeterministic) text << ", " << nondeterministic << " not deterministic";
  if (imprecise) text << ", " << imprecise << " round f32 products";
  if (compiled) text << ", " << compiled << " are compiled at run time";
  if (large) text << ", " << large << " need too much workspace";
  if (unsupported) text << ", " << unsupported << " cannot be made ready";
  return text.str();
}

ConvPlans find_conv_plans(const ConvProblem& problem, const cudnn::Target& target,
                          const ConvPlanSearch& search) {
  const Descriptor graph = [&] {
    try {
      return operation_graph(problem, target);
    } catch (const Error& error) {
      throw Error(describe(problem) + ": " + error.what());
    }
  }();
  ConvPlans found;
  const bool exact = problem.dtype == f32 && !problem.tf32;
  for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    for (Descriptor& config : cudnn::engine_configs(graph, mode, target)) {
      ++found.proposed;
      const cudnn::EngineNotes notes = cudnn::engine_notes(config);
      if (contains(notes.numerical, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC)) {
        ++found.nondeterministic;
        continue;
      }
      if (exact && (contains(notes.numerical, CUDNN_NUMERICAL_NOTE_TENSOR_CORE) ||
                    contains(notes.numerical, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS))) {
        ++found.imprecise;
        continue;
      }
      if (!search.runtime_compiled && contains(notes.behavior, CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION)) {
        ++found.compiled;
        continue;
      }
      std::optional<cudnn::Plan> plan = cudnn::make_plan(std::move(config), target);
      if (!plan) {
        ++found.unsupported;
      } else if (plan->workspace > search.max_workspace) {
        ++found.large;
      } else {
        found.plans.push_back(std::move(*plan));
        if (found.plans.size() >= search.most) return found;
      }
    }
    if (!found.plans.empty()) break;
  }
  return found;
}

}  // namespace karyon::cuda
