#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include <karyon/core/tensor.h>

namespace karyon::cpu {

/// Whatever tells one packed form of a weight from another.
using FilterKey = std::vector<std::int64_t>;

/// Whether this was called before for these weights and this key. A program that uses a filter once, for its
/// only image, so does not pay for memory to keep it in.
bool used_before(const Tensor& weight, const FilterKey& key);

/// The packed form of these weights for this key: what an earlier call made, or make(). The weights' storage
/// keeps it until the weights change or die. The whole process keeps at most 256 MiB; packed filters beyond
/// that are made in each call.
Tensor kept_filters(const Tensor& weight, const FilterKey& key, const std::function<Tensor()>& make);

}  // namespace karyon::cpu
