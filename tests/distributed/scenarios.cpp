#include "scenarios.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <vector>

#include <karyon/core/autograd.h>
#include <karyon/core/distributed/sync_batch_norm.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/loss.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/optim/sgd.h>
#include <karyon/core/random.h>
#include <karyon/layers/activation.h>
#include <karyon/layers/conv.h>
#include <karyon/layers/data_parallel.h>
#include <karyon/layers/norm.h>
#include <karyon/layers/sequential.h>

namespace karyon::distributed {
namespace {

using Group = std::shared_ptr<ProcessGroup>;

// What rank `rank` contributes.
Tensor values(const Shape& shape, int rank, DType dtype = f32) {
  Generator generator(static_cast<std::uint64_t>(1000 + rank));
  return dtype == i64 ? (randn(shape, generator) * 1000).to(i64) : randn(shape, generator).to(dtype);
}

void require_equal(const Tensor& got, const Tensor& expected, const std::string& what) {
  check(got.shape() == expected.shape() && got.dtype() == expected.dtype(), what, ": expected ",
        expected.dtype(), expected.shape(), ", got ", got.dtype(), got.shape());
  const auto a = got.to_vector<double>(), b = expected.to_vector<double>();
  for (std::size_t i = 0; i < a.size(); ++i)
    check(a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i])), what, ": expected ", b[i], " at ", i,
          ", got ", a[i]);
}

// The largest difference, as a share of the largest value.
double difference(const Tensor& got, const Tensor& expected) {
  const auto a = got.to_vector<double>(), b = expected.to_vector<double>();
  double most = 0, scale = 1e-30;
  for (std::size_t i = 0; i < a.size(); ++i) {
    most = std::max(most, std::abs(a[i] - b[i]));
    scale = std::max(scale, std::abs(b[i]));
  }
  return most / scale;
}

void require_close(const Tensor& got, const Tensor& expected, double within, const std::string& what) {
  check(got.shape() == expected.shape(), what, ": expected ", expected.shape(), ", got ", got.shape());
  const double most = difference(got, expected);
  check(most <= within, what, ": differs by ", most, ", expected at most ", within);
}

// The sum of all in the order of ranks, bf16 in f32; or the mean, the smallest, the largest.
Tensor reference(const Shape& shape, int size, DType dtype, ReduceOp op) {
  const NoGradGuard no_grad;
  const DType wide = dtype == bf16 ? f32 : dtype == i64 ? f64 : dtype;
  Tensor all = values(shape, 0, dtype).to(wide);
  for (int r = 1; r < size; ++r) {
    const Tensor next = values(shape, r, dtype).to(wide);
    all = op == ReduceOp::min ? minimum(all, next) : op == ReduceOp::max ? maximum(all, next) : all + next;
  }
  return (op == ReduceOp::avg ? all / size : all).to(dtype);
}

void collectives(const Group& group) {
  const int rank = group->rank(), size = group->size();
  for (const DType dtype : {f32, f64, bf16, i64})
    for (const std::int64_t n : {0, 1, 2, 3, 5, 64, 1001, 70'003})
      for (const ReduceOp op : {ReduceOp::sum, ReduceOp::avg, ReduceOp::min, ReduceOp::max}) {
        if (dtype == i64 && op == ReduceOp::avg) continue;
        const Tensor x = values({n}, rank, dtype);
        group->all_reduce(x, op);
        require_equal(x, reference({n}, size, dtype, op), "all_reduce of " + std::to_string(n));
      }
  for (int root = 0; root < size; ++root) {
    const Tensor x = values({7, 11}, rank);
    group->broadcast(x, root);
    require_equal(x, values({7, 11}, root), "broadcast");
  }
  const Tensor odd = tensor({rank, 3, 5}, {.dtype = u8});
  const std::vector<Tensor> all = group->all_gather(odd);
  check(static_cast<int>(all.size()) == size, "all_gather: got ", all.size(), " tensors");
  for (int r = 0; r < size; ++r)
    require_equal(all[static_cast<std::size_t>(r)], tensor({r, 3, 5}, {.dtype = u8}), "all_gather");
  group->barrier();
}

// Many operations are under way at once; they are done in their order.
void asynchronous(const Group& group) {
  const int size = group->size();
  std::vector<Tensor> sums;
  std::vector<Work> works;
  for (std::int64_t n = 1; n < 40; ++n) {
    sums.push_back(values({n * 37}, group->rank()));
    works.push_back(group->all_reduce_async(sums.back()));
  }
  for (std::size_t i = works.size(); i-- > 0;) {
    works[i].wait();
    check(works[i].is_completed(), "wait() returned before it was done");
    require_equal(sums[i], reference(sums[i].shape(), size, f32, ReduceOp::sum), "all_reduce_async");
  }
}

// A NaN of any rank reaches all.
void not_numbers(const Group& group) {
  for (const ReduceOp op : {ReduceOp::sum, ReduceOp::avg, ReduceOp::min, ReduceOp::max}) {
    const Tensor x = group->rank() == group->size() - 1 ? tensor({std::nan(""), 1.0}) : tensor({1.0, 2.0});
    group->all_reduce(x, op);
    check(std::isnan(x[0].item()) && !std::isnan(x[1].item()), "all_reduce: expects NaN, got ", x);
  }
}

struct Net : Module {
  explicit Net(bool norm) {
    static std::mutex one_seed;  // for ranks that are threads
    const std::lock_guard lock(one_seed);
    manual_seed(7);
    body.add<Conv2d>(2, 6, 3, Conv2d::Options{.padding = 1});
    if (norm) body.add<BatchNorm2d>(6);
    body.add<ReLU>();
    body.add<Conv2d>(6, 5, 3, Conv2d::Options{.padding = 1});
    if (norm) body.add<BatchNorm2d>(5, BatchNorm2d::Options{.relu = true});
    body.add<Conv2d>(5, 1, 1);
    register_module("body", body);
    unused = ones({3});
    register_parameter("unused", unused);
  }
  Tensor forward(Tensor x) override { return body(std::move(x)); }
  Sequential body;
  Tensor unused;
};

struct Data {
  Tensor x, y;
};
Data batch(int step, std::int64_t images) {
  Generator generator(static_cast<std::uint64_t>(50 + step));
  const Tensor x = randn({images, 6, 5, 2}, generator), y = randn({images, 6, 5, 1}, generator);
  return {x, y};
}
// Rank `rank`'s of `size` equal parts.
Data part(const Data& whole, int rank, int size) {
  const std::int64_t n = whole.x.size(0) / size;
  return {narrow(whole.x, 0, rank * n, n), narrow(whole.y, 0, rank * n, n)};
}

// Manual: every rank's gradient, added in the order of ranks.
void gradients(const Group& group) {
  const int rank = group->rank(), size = group->size();
  for (const std::int64_t bucket_bytes : {1, 200, 1 << 20}) {
    Net own(true), shared(true);
    if (rank > 0)  // the constructor must make them equal
      for (Tensor p : shared.parameters()) {
        const NoGradGuard no_grad;
        p.fill_(rank);
      }
    DistributedDataParallel parallel(shared, group, {.bucket_bytes = bucket_bytes});
    for (int step = 0; step < 2; ++step) {
      const Data data = part(batch(step, 2 * size), rank, size);
      mse_loss(own(data.x), data.y).backward();
      mse_loss(parallel(data.x), data.y).backward();
      const auto mine = own.named_parameters(), theirs = shared.named_parameters();
      for (std::size_t i = 0; i < mine.size(); ++i) {
        const auto& [name, p] = mine[i];
        if (name == "unused") {
          check(!theirs[i].second.grad().defined(), "a parameter that no rank used has a gradient");
          continue;
        }
        const Tensor expected = p.grad().clone();
        group->all_reduce(expected, ReduceOp::avg);
        require_equal(theirs[i].second.grad(), expected, name);
      }
      own.zero_grad();
      shared.zero_grad();
    }
    const auto counts = parallel.counts();
    check(size == 1 || bucket_bytes > 1000 || counts.early * 2 > counts.buckets, "only ", counts.early,
          " of ", counts.buckets, " buckets were begun while backward went on");
  }
}

// Gradients that are added up, alone and together.
void accumulation(const Group& group) {
  const int rank = group->rank(), size = group->size();
  Net own(false), shared(false);
  DistributedDataParallel parallel(shared, group);
  const Data first = part(batch(1, 2 * size), rank, size), second = part(batch(2, 2 * size), rank, size);
  {
    const DistributedDataParallel::NoSync alone(parallel);
    mse_loss(parallel(first.x), first.y).backward();
  }
  mse_loss(parallel(second.x), second.y).backward();
  mse_loss(own(first.x), first.y).backward();
  mse_loss(own(second.x), second.y).backward();
  const auto mine = own.named_parameters(), theirs = shared.named_parameters();
  for (std::size_t i = 0; i < mine.size(); ++i) {
    if (mine[i].first == "unused") continue;
    const Tensor expected = mine[i].second.grad().clone();
    group->all_reduce(expected, ReduceOp::avg);
    require_equal(theirs[i].second.grad(), expected, mine[i].first);
  }
}

void compressed(const Group& group) {
  const int rank = group->rank(), size = group->size();
  Net own(false), shared(false);
  DistributedDataParallel parallel(shared, group, {.compress_bf16 = true});
  const Data data = part(batch(3, 2 * size), rank, size);
  mse_loss(own(data.x), data.y).backward();
  mse_loss(parallel(data.x), data.y).backward();
  const auto mine = own.named_parameters(), theirs = shared.named_parameters();
  for (std::size_t i = 0; i < mine.size(); ++i) {
    if (mine[i].first == "unused") continue;
    const Tensor expected = mine[i].second.grad().clone();
    group->all_reduce(expected, ReduceOp::avg);
    require_close(theirs[i].second.grad(), expected, 0.01, mine[i].first);
    const std::vector<Tensor> all = group->all_gather(theirs[i].second.grad());
    for (const Tensor& other : all) require_equal(other, all[0], "the gradients of two ranks");
  }
}

// A parameter that only the last rank used.
void used_by_some(const Group& group) {
  const int rank = group->rank(), size = group->size();
  Net net(false);
  DistributedDataParallel parallel(net, group);
  const Data data = part(batch(4, size), rank, size);
  Tensor loss = mse_loss(parallel(data.x), data.y);
  if (rank == size - 1) loss = loss + sum(net.unused * 3);
  loss.backward();
  require_equal(net.unused.grad(), full({3}, 3.0 / size), "the gradient");
}

// Each rank has its part of a batch, of which the network, its norms included, sees the whole.
void parts_of_a_batch(const Group& group) {
  const int rank = group->rank(), size = group->size();
  Net whole(true), shared(true);
  DistributedDataParallel parallel(shared, group, {.bucket_bytes = 500});
  convert_sync_batchnorm(shared, group);
  SGD by_one(whole.parameters(), {.lr = 0.05}), by_all(shared.parameters(), {.lr = 0.05});
  for (int step = 0; step < 5; ++step) {
    const Data data = batch(step, 12), mine = part(data, rank, size);
    mse_loss(whole(data.x), data.y).backward();
    mse_loss(parallel(mine.x), mine.y).backward();
    for (SGD* optimizer : {&by_one, &by_all}) {
      optimizer->step();
      optimizer->zero_grad();
    }
  }
  const StateDict expected = whole.state_dict();
  for (const auto& [name, tensor] : shared.state_dict()) require_close(tensor, expected.at(name), 1e-6, name);
}

void sync_norm(const Group& group) {
  const int rank = group->rank(), size = group->size();
  for (const DType dtype : {f32, f64, bf16})
    for (const bool relu : {false, true})
      for (const bool affine : {true, false}) {
        // Rank r has r + 1 rows, so the shares differ; a single one has one value per channel.
        const std::int64_t rows = size * (size + 1) / 2, before = rank * (rank + 1) / 2, c = 5;
        const DType beside = parameter_dtype(dtype);
        const Tensor x = (values({rows + 1, c}, 9) * 2 + 3).to(dtype), dy = values({rows + 1, c}, 8, dtype);
        // The last row belongs to rank 0, too, so that one rank alone has two.
        const auto mine = [&](const Tensor& all) {
          const Tensor own = narrow(all, 0, before, rank + 1);
          return (rank == 0 ? cat({own, narrow(all, 0, rows, 1)}, 0) : own).detach();
        };
        struct Result {
          Tensor x, weight, bias, mean, var, y;
        };
        const auto begin = [&](const Tensor& input) {
          Result r{input.clone().requires_grad_(),  {}, {}, full({c}, 0.5, {.dtype = beside}),
                   full({c}, 2, {.dtype = beside}), {}};
          if (affine) {
            r.weight = values({c}, 7, beside).requires_grad_();
            r.bias = values({c}, 6, beside).requires_grad_();
          }
          return r;
        };
        const BatchNormOptions options{.training = true, .relu = relu};
        Result all = begin(x), own = begin(mine(x));
        all.y = batch_norm(all.x, all.weight, all.bias, all.mean, all.var, options);
        all.y.backward(dy);
        own.y = sync_batch_norm(own.x, own.weight, own.bias, own.mean, own.var, group, options);
        own.y.backward(mine(dy));
        const double within = dtype == bf16 ? 0.01 : dtype == f64 ? 1e-6 : 2e-6;
        require_close(own.y, mine(all.y), within, "y");
        require_close(own.x.grad(), mine(all.x.grad()), dtype == bf16 ? 0.03 : 5e-6, "dx");
        require_close(own.mean, all.mean, 1e-6, "running_mean");
        require_close(own.var, all.var, 1e-6, "running_var");
        if (!affine) continue;
        for (const auto& [got, expected] : {std::pair(own.weight, all.weight), {own.bias, all.bias}}) {
          group->all_reduce(got.grad());
          require_close(got.grad(), expected.grad(), dtype == bf16 ? 0.01 : 5e-6, "a parameter's gradient");
        }
      }
}

}  // namespace

const std::map<std::string, Scenario>& scenarios() {
  static const std::map<std::string, Scenario> all{
      {"collectives", collectives},   {"asynchronous", asynchronous},         {"not_numbers", not_numbers},
      {"gradients", gradients},       {"accumulation", accumulation},         {"compressed", compressed},
      {"used_by_some", used_by_some}, {"parts_of_a_batch", parts_of_a_batch}, {"sync_norm", sync_norm}};
  return all;
}

}  // namespace karyon::distributed
