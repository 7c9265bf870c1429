#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <set>

#include <karyon/core/data/loader.h>

using namespace karyon;
using Ints = std::vector<std::int64_t>;

namespace {

/// Sample i: i + 1 times the number i.
struct Growing : Dataset {
  std::int64_t size() const override { return 6; }
  Sample get(std::int64_t index, Generator&) const override {
    return {full({index + 1}, static_cast<double>(index), {.dtype = i64})};
  }
};

Ints drawn(const Sampler& sampler, std::uint64_t seed = 1) {
  Generator generator(seed);
  Ints out = sampler.indices(generator);
  CHECK(static_cast<std::int64_t>(out.size()) == sampler.size());
  return out;
}

Ints sorted(Ints x) {
  std::sort(x.begin(), x.end());
  return x;
}

std::vector<Ints> first_tensors(const DataLoader& loader, std::uint64_t epoch = 0) {
  std::vector<Ints> out;
  for (const Batch& batch : loader.epoch(epoch)) out.push_back(batch[0].to_vector<std::int64_t>());
  return out;
}

/// Two batches: the even and the odd indices.
struct EvenOdd : BatchSampler {
  std::int64_t size() const override { return promised; }
  std::vector<Ints> batches(Generator&) const override { return order; }
  std::int64_t promised = 2;
  std::vector<Ints> order{{0, 2, 4}, {1, 3}};
};

}  // namespace

TEST_CASE("samplers: orders") {
  CHECK(drawn(SequentialSampler(4)) == Ints{0, 1, 2, 3});
  CHECK(drawn(SequentialSampler(0)).empty());
  CHECK(sorted(drawn(RandomSampler(50))) == drawn(SequentialSampler(50)));
  CHECK(drawn(RandomSampler(50)) != drawn(RandomSampler(50), 2));
  CHECK(drawn(RandomSampler(50)) == drawn(RandomSampler(50)));
  const Ints few = drawn(RandomSampler(50, {.num_samples = 20}));
  CHECK(std::set(few.begin(), few.end()).size() == 20);
  const Ints again = drawn(RandomSampler(5, {.replacement = true, .num_samples = 1000}));
  for (std::int64_t i = 0; i < 5; ++i) CHECK(std::abs(std::count(again.begin(), again.end(), i) - 200) < 60);
  CHECK(sorted(drawn(SubsetRandomSampler({7, 3, 9, 3}))) == Ints{3, 3, 7, 9});
}

TEST_CASE("samplers: weights") {
  const std::vector<double> weights{1, 0, 2, 5};
  const Ints all = drawn(WeightedRandomSampler(weights, 8000));
  const std::int64_t expected[] = {1000, 0, 2000, 5000};
  for (std::int64_t i = 0; i < 4; ++i)
    CHECK(std::abs(std::count(all.begin(), all.end(), i) - expected[i]) < 150);
  int last_first = 0;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    const Ints three = drawn(WeightedRandomSampler(weights, 3, false), seed);
    CHECK(sorted(three) == Ints{0, 2, 3});
    last_first += three[0] == 3;
  }
  CHECK(std::abs(last_first - 1250) < 100);  // 5 of 8
}

TEST_CASE("samplers: what is refused") {
  CHECK_THROWS_WITH(RandomSampler(3, {.num_samples = 4}), "RandomSampler: expects at most 3 samples, got 4");
  CHECK_THROWS_AS(RandomSampler(0, {.replacement = true, .num_samples = 1}), Error);
  CHECK_THROWS_WITH(WeightedRandomSampler({1, -1}, 1), Catch::Contains("finite weights >= 0, got -1"));
  CHECK_THROWS_WITH(WeightedRandomSampler({0, 0}, 1), Catch::Contains("sum above 0"));
  CHECK_THROWS_WITH(WeightedRandomSampler({1, 0}, 2, false), Catch::Contains("at most 1 samples"));
  CHECK_THROWS_WITH(WeightedRandomSampler({1}, 0), Catch::Contains("num_samples of 1 or more"));
}

TEST_CASE("loader: a sampler gives the order") {
  const TensorDataset data({arange(6)});
  const SubsetRandomSampler sampler({5, 1, 3});
  const DataLoader loader(data, {.batch_size = 2, .sampler = &sampler});
  CHECK(loader.size() == 2);
  const auto first = first_tensors(loader, 0);
  CHECK(first.size() == 2);
  CHECK(sorted({first[0][0], first[0][1], first[1][0]}) == Ints{1, 3, 5});
  CHECK(first_tensors(loader, 0) == first);
  const DataLoader workers(data, {.batch_size = 2, .workers = 3, .sampler = &sampler});
  CHECK(first_tensors(workers, 0) == first);
  const RandomSampler random(6);
  const DataLoader shuffled(data, {.shuffle = true, .seed = 3}),
      sampled(data, {.seed = 3, .sampler = &random});
  CHECK(first_tensors(shuffled, 4) == first_tensors(sampled, 4));
  CHECK_THROWS_WITH(DataLoader(data, {.shuffle = true, .sampler = &random}), Catch::Contains("not both"));
  const SubsetRandomSampler outside({6});
  CHECK_THROWS_WITH(DataLoader(data, {.sampler = &outside}).epoch(0),
                    "DataLoader: the sampler has index 6 of 6 samples");
}

TEST_CASE("loader: a batch sampler gives whole batches") {
  const TensorDataset data({arange(6)});
  EvenOdd sampler;
  const DataLoader loader(data, {.batch_sampler = &sampler});
  CHECK(loader.size() == 2);
  CHECK(first_tensors(loader) == sampler.order);
  sampler.promised = 3;
  CHECK_THROWS_WITH(loader.epoch(0), "DataLoader: the sampler has 2 batches, but its size() promises 3");
  sampler.order.push_back({});
  CHECK_THROWS_WITH(loader.epoch(0), "DataLoader: the sampler has a batch without samples");
}

TEST_CASE("loader: collate makes batches of samples of any shape") {
  const Growing data;
  const auto collate = [](const std::vector<Sample>& samples) {
    std::int64_t longest = 0;
    for (const Sample& s : samples) longest = std::max(longest, s[0].numel());
    Tensor out = full({static_cast<std::int64_t>(samples.size()), longest}, -1, {.dtype = i64});
    for (std::size_t i = 0; i < samples.size(); ++i)
      for (std::int64_t j = 0; j < samples[i][0].numel(); ++j)
        out.data<std::int64_t>()[static_cast<std::int64_t>(i) * longest + j] =
            samples[i][0].data<std::int64_t>()[j];
    return Batch{out};
  };
  const DataLoader loader(data, {.batch_size = 2, .workers = 2, .collate = collate});
  CHECK(first_tensors(loader)[0] == Ints{0, -1, 1, 1});
  CHECK_THROWS_WITH(first_tensors(DataLoader(data, {.batch_size = 2})),
                    Catch::Contains("is i64[2], expected"));
}

TEST_CASE("a subset of a dataset") {
  const Growing data;
  const Subset subset(data, {4, 2, 2});
  Generator generator(1);
  CHECK(subset.size() == 3);
  CHECK(subset.get(0, generator)[0].numel() == 5);
  CHECK(subset.get(2, generator)[0].numel() == 3);
  CHECK_THROWS_WITH(subset.get(3, generator), "Subset: sample 3 of 3");
  CHECK_THROWS_WITH(Subset(data, {6}), "Subset: expects indices below 6, got 6");
}
