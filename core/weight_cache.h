#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include <karyon/core/tensor.h>

// Private to core: other forms of weights, kept with them.
namespace karyon {

/// Whatever tells one form of a weight from another: packed for a kernel, or cast. The first number is that of
/// the place that makes it.
using FilterKey = std::vector<std::int64_t>;

/// Whether this was called before for these weights and this key. A program that uses a filter only once thus
/// pays for no memory to keep it.
bool used_before(const Tensor& weight, const FilterKey& key);

/// The form of these weights for this key: from an earlier call, or from make(). The weights' storage
/// keeps it until the weights change or die. The whole process keeps at most 256 MiB; forms beyond that are
/// made again in each call.
Tensor kept_filters(const Tensor& weight, const FilterKey& key, const std::function<Tensor()>& make);

}  // namespace karyon
