#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <limits>
#include <set>
#include <thread>

#include <karyon/core/data/loader.h>

using namespace karyon;
using Ints = std::vector<std::int64_t>;

namespace {

/// Sample i: {a random image, [i]}.
struct Noise : Dataset {
  explicit Noise(std::int64_t count) : n(count) {}
  std::int64_t size() const override { return n; }
  Sample get(std::int64_t index, Generator& generator) const override {
    ++calls;
    if (index == broken) throw Error("sample " + std::to_string(index) + " is broken");
    if (index % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
    return {rand({4, 4, 1}, generator), full({}, static_cast<double>(index), {.dtype = i64})};
  }
  std::int64_t n, broken = -1;
  mutable std::atomic<int> calls = 0;
};

struct Seen {
  std::vector<Ints> indices;
  std::vector<std::vector<float>> images;
  friend bool operator==(const Seen&, const Seen&) = default;
};
Seen walk(DataLoader::Epoch epoch) {
  Seen seen;
  for (const Batch& batch : epoch) {
    REQUIRE(batch.size() == 2);
    seen.images.push_back(batch[0].to_vector<float>());
    seen.indices.push_back(batch[1].to_vector<std::int64_t>());
  }
  return seen;
}

}  // namespace

TEST_CASE("loader: batches are stacked samples in order") {
  const Noise data(7);
  const DataLoader loader(data, {.batch_size = 3});
  CHECK(loader.size() == 3);
  const Seen seen = walk(loader.epoch(0));
  CHECK(seen.indices == std::vector<Ints>{{0, 1, 2}, {3, 4, 5}, {6}});
  auto epoch = loader.epoch(0);
  CHECK((*epoch.next())[0].shape() == Shape{3, 4, 4, 1});
  const DataLoader full_only(data, {.batch_size = 3, .drop_last = true});
  CHECK(full_only.size() == 2);
  CHECK(walk(full_only.epoch(0)).indices.size() == 2);
}

TEST_CASE("loader: the same bits for any number of workers") {
  const Noise data(50);
  const DataLoaderOptions options{.batch_size = 4, .shuffle = true, .seed = 9};
  const Seen alone = walk(DataLoader(data, options).epoch(3));
  for (const int workers : {1, 2, 5})
    for (const std::int64_t prefetch : {1, 2, 7}) {
      DataLoaderOptions with = options;
      with.workers = workers;
      with.prefetch = prefetch;
      CHECK(walk(DataLoader(data, with).epoch(3)) == alone);
    }
}

TEST_CASE("loader: one batch of all, and all batches ahead, however large the number") {
  const Noise data(7);
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  const DataLoader one(data, {.batch_size = most});
  CHECK(one.size() == 1);
  CHECK(walk(one.epoch(0)).indices == std::vector<Ints>{{0, 1, 2, 3, 4, 5, 6}});
  CHECK(DataLoader(data, {.batch_size = most, .drop_last = true}).size() == 0);
  const DataLoader ahead(data, {.batch_size = 3, .workers = 2, .prefetch = most});
  CHECK(walk(ahead.epoch(0)).indices == std::vector<Ints>{{0, 1, 2}, {3, 4, 5}, {6}});
}

TEST_CASE("loader: epochs and seeds differ in order and in randomness") {
  const Noise data(40);
  const DataLoader loader(data, {.batch_size = 40, .shuffle = true, .seed = 1});
  const Seen a = walk(loader.epoch(0)), b = walk(loader.epoch(1));
  CHECK(a == walk(loader.epoch(0)));
  CHECK(a.indices != b.indices);
  CHECK(std::set<std::int64_t>(a.indices[0].begin(), a.indices[0].end()).size() == 40);
  const DataLoader other(data, {.batch_size = 40, .shuffle = true, .seed = 2});
  CHECK(walk(other.epoch(0)).indices != a.indices);
  const DataLoader in_order(data, {.batch_size = 40});
  CHECK(walk(in_order.epoch(0)).images != walk(in_order.epoch(1)).images);
  // Different samples of an epoch have different generators.
  const auto images = walk(in_order.epoch(0)).images[0];
  CHECK(std::set<float>(images.begin(), images.end()).size() > images.size() * 9 / 10);
}

TEST_CASE("loader: an epoch resumes at any batch") {
  const Noise data(22);
  const DataLoader loader(data, {.batch_size = 4, .shuffle = true, .workers = 2, .seed = 5});
  const Seen whole = walk(loader.epoch(2));
  for (std::int64_t first = 0; first <= loader.size(); ++first) {
    const Seen rest = walk(loader.epoch(2, first));
    CHECK(rest.indices == std::vector<Ints>(whole.indices.begin() + first, whole.indices.end()));
    CHECK(rest.images == decltype(rest.images)(whole.images.begin() + first, whole.images.end()));
  }
  CHECK_THROWS_AS(loader.epoch(0, loader.size() + 1), Error);
  CHECK_THROWS_AS(loader.epoch(0, -1), Error);
}

TEST_CASE("loader: an exception comes with the batch it belongs to, and ends the epoch") {
  Noise data(40);
  data.broken = 21;
  for (const int workers : {0, 1, 3}) {
    INFO(workers << " workers");
    const DataLoader loader(data, {.batch_size = 2, .workers = workers});
    auto epoch = loader.epoch(0);
    for (int i = 0; i < 10; ++i) CHECK(epoch.next().has_value());
    CHECK_THROWS_WITH(epoch.next(), "sample 21 is broken");
    CHECK_FALSE(epoch.next().has_value());
  }
}

TEST_CASE("loader: workers stay within the prefetch, and an abandoned epoch stops them") {
  const Noise data(1000);
  const DataLoader loader(data, {.batch_size = 1, .workers = 3, .prefetch = 5});
  {
    auto epoch = loader.epoch(0);
    epoch.next();
    epoch.next();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    CHECK(data.calls <= 7);
  }
  { const auto untouched = loader.epoch(0); }
  CHECK(data.calls <= 12);
  auto moved = loader.epoch(0);
  auto epoch = std::move(moved);
  CHECK(epoch.next().has_value());
  epoch = loader.epoch(1);
  CHECK(epoch.next().has_value());
}

TEST_CASE("loader: slices of tensors share their memory") {
  const Tensor x = arange(12).reshape({4, 3}), y = tensor({1, 2, 3, 4});
  const TensorDataset data({x, y});
  Generator generator;
  const Sample sample = data.get(2, generator);
  CHECK(sample[0].to_vector<std::int64_t>() == Ints{6, 7, 8});
  CHECK(sample[1].shape() == Shape{});
  CHECK(sample[1].item() == 3);
  CHECK_THROWS_AS(data.get(4, generator), Error);
  CHECK_THROWS_AS(TensorDataset({x, arange(3)}), Error);
  CHECK_THROWS_AS(TensorDataset({}), Error);
}

TEST_CASE("loader: misuse is an Error") {
  const Noise data(3);
  CHECK_THROWS_WITH(DataLoader(data, {.batch_size = 0}), Catch::StartsWith("DataLoader"));
  CHECK_THROWS_AS(DataLoader(data, {.workers = -1}), Error);
  CHECK_THROWS_AS(DataLoader(data, {.prefetch = 0}), Error);
  const Noise none(0);
  CHECK(walk(DataLoader(none, {.workers = 2}).epoch(0)).indices.empty());

  struct Uneven : Dataset {
    std::int64_t size() const override { return 2; }
    Sample get(std::int64_t index, Generator&) const override { return {zeros({index + 1})}; }
  } uneven;
  auto epoch = DataLoader(uneven, {.batch_size = 2}).epoch(0);
  CHECK_THROWS_WITH(epoch.next(), Catch::Contains("[2], expected f32[1]"));
}

TEST_CASE("loader: ranks share out the batches of one loader") {
  const Noise data(50);
  for (const std::int64_t ranks : {2, 3, 4}) {
    const std::int64_t batch = 12 / ranks;
    const Seen whole =
        walk(DataLoader(data, {.batch_size = 12, .shuffle = true, .drop_last = true, .seed = 5}).epoch(3, 1));
    std::vector<Ints> together(whole.indices.size());
    for (std::int64_t rank = 0; rank < ranks; ++rank) {
      const DataLoader loader(data, {.batch_size = batch,
                                     .shuffle = true,
                                     .drop_last = true,
                                     .workers = 1,
                                     .seed = 5,
                                     .num_replicas = ranks,
                                     .rank = rank});
      CHECK(loader.size() == 4);
      const Seen own = walk(loader.epoch(3, 1));
      REQUIRE(own.indices.size() == together.size());
      for (std::size_t b = 0; b < together.size(); ++b) {
        for (std::int64_t j = 0; j < batch; ++j) {
          // The same sample under the same generator.
          const auto in_own = static_cast<std::size_t>(j),
                     in_whole = static_cast<std::size_t>(j * ranks + rank);
          CHECK(own.indices[b][in_own] == whole.indices[b][in_whole]);
          CHECK(own.images[b][in_own * 16] == whole.images[b][in_whole * 16]);
        }
        together[b].insert(together[b].end(), own.indices[b].begin(), own.indices[b].end());
      }
    }
    for (std::size_t b = 0; b < together.size(); ++b)
      CHECK(std::ranges::is_permutation(together[b], whole.indices[b]));
  }
}

TEST_CASE("loader: shares are equal, also where the samples do not divide") {
  const Noise data(7);
  std::multiset<std::int64_t> all;
  for (std::int64_t rank = 0; rank < 4; ++rank) {
    const DataLoader loader(data, {.batch_size = 1, .num_replicas = 4, .rank = rank});
    CHECK(loader.size() == 2);
    for (const Ints& batch : walk(loader.epoch(0)).indices) all.insert(batch.begin(), batch.end());
  }
  CHECK(all == std::multiset<std::int64_t>{0, 0, 1, 2, 3, 4, 5, 6});
  CHECK(DataLoader(data, {.batch_size = 2, .drop_last = true, .num_replicas = 4}).size() == 0);
  CHECK_THROWS_WITH(DataLoader(data, {.num_replicas = 2, .rank = 2}),
                    Catch::Contains("expects a rank below num_replicas, got 2 of 2"));
}
