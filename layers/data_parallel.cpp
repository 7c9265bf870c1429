#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <karyon/core/after_backward.h>
#include <karyon/core/autograd.h>
#include <karyon/layers/data_parallel.h>

namespace karyon {
namespace {

// A number for the names, shapes and dtypes of a module's tensors.
std::int64_t fingerprint(const StateDict& state) {
  std::uint64_t hash = 14695981039346656037u;  // FNV-1a
  const auto add = [&hash](std::uint64_t value) { hash = (hash ^ value) * 1099511628211u; };
  for (const auto& [name, tensor] : state) {
    for (const char c : name) add(static_cast<unsigned char>(c));
    for (const std::int64_t size : tensor.shape()) add(static_cast<std::uint64_t>(size));
    add(static_cast<std::uint64_t>(tensor.dtype()));
  }
  return static_cast<std::int64_t>(hash);
}

void share_first_state(const Module& module, distributed::ProcessGroup& group) {
  const StateDict state = module.state_dict();
  const std::int64_t own = fingerprint(state);
  for (const Tensor& other : group.all_gather(tensor(own)))
    check(other.item<std::int64_t>() == own,
          "DistributedDataParallel: ranks have networks with other names, shapes or dtypes");
  for (const auto& [name, tensor] : state) group.broadcast(tensor);
}

}  // namespace

struct DistributedDataParallel::State : std::enable_shared_from_this<State> {
  // The place of a parameter's gradient. Behind the gradients, a bucket has a number for each that tells
  // whether a rank has one.
  struct Slot {
    Tensor parameter;
    std::size_t bucket;
    std::int64_t offset, flag;
    bool filled = false;
  };
  struct Bucket {
    std::vector<std::size_t> slots;
    std::int64_t elements = 0;
    Tensor flat, sent;  // sent: flat, or its copy in bf16
    std::size_t missing = 0;
    distributed::Work work;
  };

  State(std::shared_ptr<distributed::ProcessGroup> all, const Options& o)
      : group(std::move(all)), options(o) {}

  void add(const Tensor& parameter);
  void allocate();
  void hook_up();

  void on_gradient(std::size_t at, const Tensor& grad);
  void begin_backward();
  void fill(Slot& slot, const Tensor& grad);
  void begin_full_buckets();
  void finish();
  void write_back(const Bucket& bucket);

  std::shared_ptr<distributed::ProcessGroup> group;
  Options options;
  std::vector<Slot> slots;
  std::vector<Bucket> buckets;
  std::size_t next = 0;  // the first bucket that is not begun
  bool in_backward = false, sync = true;
  Counts counts;
};

void DistributedDataParallel::State::add(const Tensor& parameter) {
  const auto bytes = [&](std::int64_t elements) {
    return elements * static_cast<std::int64_t>(element_size(parameter.dtype()));
  };
  const auto fits = [&](const Bucket& bucket) {
    const Tensor& first = slots[bucket.slots.front()].parameter;
    return first.dtype() == parameter.dtype() && first.device() == parameter.device() &&
           bytes(bucket.elements + parameter.numel()) <= options.bucket_bytes;
  };
  if (buckets.empty() || !fits(buckets.back())) buckets.emplace_back();
  Bucket& bucket = buckets.back();
  bucket.slots.push_back(slots.size());
  slots.push_back({parameter, buckets.size() - 1, bucket.elements, 0});
  bucket.elements += parameter.numel();
}

void DistributedDataParallel::State::allocate() {
  for (Bucket& bucket : buckets) {
    const Tensor& first = slots[bucket.slots.front()].parameter;
    for (std::size_t at : bucket.slots) slots[at].flag = bucket.elements++;
    bucket.flat = zeros({bucket.elements}, {.dtype = first.dtype(), .device = first.device()});
    bucket.sent = options.compress_bf16 ? bucket.flat.to(bf16) : bucket.flat;
  }
}

void DistributedDataParallel::State::hook_up() {
  for (std::size_t at = 0; at < slots.size(); ++at)
    slots[at].parameter.register_hook([weak = weak_from_this(), at](const Tensor& grad) {
      if (const auto state = weak.lock()) state->on_gradient(at, grad);
      return Tensor();
    });
}

void DistributedDataParallel::State::on_gradient(std::size_t at, const Tensor& grad) {
  if (!sync) return;
  if (!in_backward) begin_backward();
  Slot& slot = slots[at];
  const Tensor before = slot.parameter.grad();
  fill(slot, before.defined() ? before.clone().add_(grad) : grad);
  begin_full_buckets();
}

void DistributedDataParallel::State::begin_backward() {
  // Whatever becomes of this backward pass: the next one begins anew.
  const std::shared_ptr<State> ended(this,
                                     [self = shared_from_this()](State*) { self->in_backward = false; });
  after_backward([ended] { ended->finish(); });
  in_backward = true;
  next = 0;
  for (Slot& slot : slots) slot.filled = false;
  for (Bucket& bucket : buckets) bucket.missing = bucket.slots.size();
}

// An undefined gradient is none.
void DistributedDataParallel::State::fill(Slot& slot, const Tensor& grad) {
  Bucket& bucket = buckets[slot.bucket];
  Tensor segment = view(bucket.flat, slot.parameter.shape(), slot.offset);
  if (grad.defined()) {
    segment.copy_(grad);
  } else {
    segment.zero_();
  }
  view(bucket.flat, {1}, slot.flag).fill_(grad.defined() ? 1 : 0);
  slot.filled = true;
  --bucket.missing;
}

// In their order, which is the same on all ranks.
void DistributedDataParallel::State::begin_full_buckets() {
  for (; next < buckets.size() && buckets[next].missing == 0; ++next) {
    Bucket& bucket = buckets[next];
    if (options.compress_bf16) bucket.sent.copy_(bucket.flat);
    bucket.work = group->all_reduce_async(bucket.sent, distributed::ReduceOp::avg);
    ++counts.buckets;
    counts.bytes += bucket.elements * static_cast<std::int64_t>(element_size(bucket.sent.dtype()));
  }
}

void DistributedDataParallel::State::finish() {
  const NoGradGuard no_grad;
  counts.early += static_cast<std::int64_t>(next);
  for (Slot& slot : slots)
    if (!slot.filled) fill(slot, slot.parameter.grad());
  begin_full_buckets();
  for (Bucket& bucket : buckets) {
    const auto begin = std::chrono::steady_clock::now();
    bucket.work.wait();
    const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - begin;
    counts.waited += waited.count();
    counts.seconds += bucket.work.seconds();
    if (options.compress_bf16) bucket.flat.copy_(bucket.sent);
    write_back(bucket);
  }
}

void DistributedDataParallel::State::write_back(const Bucket& bucket) {
  for (std::size_t at : bucket.slots) {
    Slot& slot = slots[at];
    if (view(bucket.flat, {1}, slot.flag).item<double>() == 0) continue;
    const Tensor mean = view(bucket.flat, slot.parameter.shape(), slot.offset);
    Tensor grad = slot.parameter.grad();
    if (grad.defined()) {
      grad.copy_(mean);
    } else {
      slot.parameter.set_grad(mean.clone());
    }
  }
}

DistributedDataParallel::DistributedDataParallel(Module& module,
                                                 std::shared_ptr<distributed::ProcessGroup> group,
                                                 const Options& options)
    : module_(module), state_(std::make_shared<State>(std::move(group), options)) {
  check(state_->group != nullptr, "DistributedDataParallel: expects a process group, got none");
  check(options.bucket_bytes >= 1, "DistributedDataParallel: expects bucket_bytes of 1 or more, got ",
        options.bucket_bytes);
  if (state_->group->size() == 1) return;
  share_first_state(module, *state_->group);
  const std::vector<Tensor> parameters = module.parameters();
  for (auto it = parameters.rbegin(); it != parameters.rend(); ++it)
    if (it->requires_grad()) state_->add(*it);
  state_->allocate();
  state_->hook_up();
}

DistributedDataParallel::~DistributedDataParallel() = default;

Tensor DistributedDataParallel::operator()(Tensor x) { return module_(std::move(x)); }

DistributedDataParallel::NoSync::NoSync(DistributedDataParallel& parallel)
    : parallel_(parallel), before_(std::exchange(parallel.state_->sync, false)) {}
DistributedDataParallel::NoSync::~NoSync() { parallel_.state_->sync = before_; }

DistributedDataParallel::Counts DistributedDataParallel::counts() const { return state_->counts; }

}  // namespace karyon
