#include <karyon/core/cpu/moments.h>
#include <karyon/core/storage.h>
#include <karyon/core/tensor.h>
#include <karyon/core/weight_cache.h>

#include <catch2/catch.hpp>
#include <memory>

using namespace karyon;

namespace {

/// Counts how often packed filters are made; each time they have another value.
struct Packing {
  int made = 0;
  std::function<Tensor()> make() {
    return [this] { return full({4}, ++made); };
  }
};

float first_of(const Tensor& packed) { return packed.data<float>()[0]; }

}  // namespace

TEST_CASE("weight cache: a filter that is used once is not known, one that is used again is") {
  const Tensor weight = ones({2, 3});
  CHECK_FALSE(used_before(weight, {1, 2}));
  CHECK(used_before(weight, {1, 2}));
  CHECK_FALSE(used_before(ones({2, 3}), {1, 2}));
}

TEST_CASE("weight cache: packed filters are made once and kept") {
  const Tensor weight = ones({2, 3});
  Packing packing;
  CHECK(first_of(kept_filters(weight, {1}, packing.make())) == 1);
  CHECK(first_of(kept_filters(weight, {1}, packing.make())) == 1);
  CHECK(packing.made == 1);
}

TEST_CASE("weight cache: filters that changed in place are packed anew") {
  Tensor weight = ones({2, 3});
  Packing packing;
  kept_filters(weight, {1}, packing.make());
  weight.fill_(2);
  CHECK_FALSE(used_before(weight, {1}));
  CHECK(first_of(kept_filters(weight, {1}, packing.make())) == 2);
  CHECK(packing.made == 2);
}

TEST_CASE("weight cache: two kinds of packed filters are kept side by side") {
  const Tensor weight = ones({2, 3});
  Packing packing;
  CHECK(first_of(kept_filters(weight, {0, 7}, packing.make())) == 1);
  CHECK(first_of(kept_filters(weight, {1, 7}, packing.make())) == 2);
  CHECK(first_of(kept_filters(weight, {0, 7}, packing.make())) == 1);
  CHECK(first_of(kept_filters(weight, {1, 7}, packing.make())) == 2);
  CHECK(packing.made == 2);
}

TEST_CASE("weight cache: packed filters and moments of the same memory do not displace each other") {
  Tensor weight = ones({2, 3});
  const Storage& storage = *weight.impl()->storage;
  Packing packing;
  kept_filters(weight, {1}, packing.make());
  weight.impl()->storage->set_cache(std::make_shared<cpu::ChannelMoments>());
  kept_filters(weight, {1}, packing.make());
  CHECK(packing.made == 1);
  CHECK(storage.cache<cpu::ChannelMoments>() != nullptr);
  weight.fill_(2);
  CHECK(storage.cache<cpu::ChannelMoments>() == nullptr);
}
