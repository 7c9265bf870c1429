#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include <karyon/core/tensor.h>

namespace karyon::cpu {

/// Whatever tells one packed form of a weight from another.
using FilterKey = std::vector<std::int64_t>;

/// Whether this was called before for these weights and this key. A program that uses a filter only once thus
/// pays for no memory to keep it.
bool used_before(const Tensor& weight, const FilterKey& key);

/// The packed form of these weights for this key: from an earlier call, or from make(). The weights' storage
/// keeps it until the weights change or die. The whole process keeps at most 256 MiB; packed filters beyond
/// that are packed again in each call.
Tensor kept_filters(const Tensor& weight, const FilterKey& key, const std::function<Tensor()>& make);

}  // namespace karyon::cpu
