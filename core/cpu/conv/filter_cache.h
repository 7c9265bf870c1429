#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include <karyon/core/tensor.h>

namespace karyon::cpu {

/// All that tells one packed form of a weight from another.
using FilterKey = std::vector<std::int64_t>;

/// Whether these weights were asked for under this key before. A program that uses a filter once, for its
/// only image, should not pay for memory to keep it in.
bool used_before(const Tensor& weight, const FilterKey& key);

/// make(), or what an earlier call with this key made of these weights. It is kept with their storage until
/// that changes or dies; in the whole process no more than 256 MiB are kept, and what is beyond is made anew.
Tensor kept_filters(const Tensor& weight, const FilterKey& key, const std::function<Tensor()>& make);

}  // namespace karyon::cpu
