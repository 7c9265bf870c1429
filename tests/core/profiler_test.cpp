#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/matmul.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/profiler.h>
#include <karyon/layers/linear.h>

#include "temp_folder.h"

using namespace karyon;

namespace {

std::vector<ProfileEvent> named(const std::vector<ProfileEvent>& events, const std::string& name) {
  std::vector<ProfileEvent> out;
  std::copy_if(events.begin(), events.end(), std::back_inserter(out),
               [&](const ProfileEvent& event) { return event.name == name; });
  return out;
}

bool holds(const ProfileEvent& outer, const ProfileEvent& inner) {
  return outer.thread == inner.thread && outer.begin <= inner.begin &&
         inner.begin + inner.duration <= outer.begin + outer.duration;
}

}  // namespace

TEST_CASE("profiler: operations of forward and backward, with what they read and write") {
  Linear layer(3, 4);
  const Tensor x = ones({2, 3});
  Profiler profiler;
  {
    const ProfileRange range("a step");
    layer(x).sum().backward();
  }
  profiler.stop();
  layer(x);  // no longer recorded
  const auto events = profiler.events();
  const auto step = named(events, "a step"), module = named(events, "Linear");
  REQUIRE(step.size() == 1);
  REQUIRE(module.size() == 1);
  CHECK(step[0].range);
  CHECK_FALSE(step[0].backward);
  CHECK(holds(step[0], module[0]));
  int forward = 0, backward = 0, gradients = 0;
  for (const ProfileEvent& event : events) {
    INFO(event.name << ' ' << event.tensors);
    CHECK(holds(step[0], event));
    if (event.range) {
      gradients += event.backward;
      continue;
    }
    ++(event.backward ? backward : forward);
    CHECK(event.bytes > 0);
    CHECK(event.tensors.find("f32[") == 0);
  }
  CHECK(forward >= 2);
  CHECK(backward >= 2);
  CHECK(gradients >= 2);
}

TEST_CASE("profiler: nothing is recorded without one, and one records at a time") {
  CHECK_FALSE(profiling());
  Profiler first;
  CHECK(profiling());
  CHECK_THROWS_WITH(Profiler(), "Profiler: another one records");
  CHECK(profiling());
  first.stop(), first.stop();
  CHECK_FALSE(profiling());
  const Tensor x = ones({2});
  Profiler second;
  exp(x);
  CHECK(first.events().empty());
  CHECK(second.events().size() == 1);
  CHECK(second.events()[0].tensors == "f32[2], f32[2]");
  CHECK(second.events()[0].bytes == 16);
}

TEST_CASE("profiler: each thread has a number") {
  const Tensor x = ones({8});
  Profiler profiler;
  exp(x);
  std::thread([&] { exp(x), exp(x); }).join();
  std::thread([&] { exp(x); }).join();
  std::vector<int> threads;
  for (const ProfileEvent& event : profiler.events()) threads.push_back(event.thread);
  CHECK(threads == std::vector<int>{0, 1, 1, 2});
}

TEST_CASE("profiler: the trace is JSON that a viewer reads") {
  const test::TempFolder folder;
  const Tensor x = ones({2, 3});
  Profiler profiler;
  { const ProfileRange range("a \"name\"\nwith \\ and \xff"); }
  exp(x);
  profiler.save_chrome_trace(folder / "trace.json");
  std::ifstream file(folder / "trace.json");
  const nlohmann::json trace = nlohmann::json::parse(file);
  const auto& events = trace.at("traceEvents");
  REQUIRE(events.size() == 2);
  CHECK(events[0].at("name").get<std::string>().find("a \"name\"\nwith \\ and ") == 0);
  CHECK(events[0].at("cat") == "range");
  CHECK(events[1].at("cat") == "forward");
  CHECK(events[1].at("ph") == "X");
  CHECK(events[1].at("args").at("tensors") == "f32[2, 3], f32[2, 3]");
  CHECK(events[1].at("args").at("bytes") == 48);
  CHECK(events[1].at("dur") >= 0);
  CHECK(events[0].at("ts") <= events[1].at("ts"));
  CHECK_THROWS_WITH(profiler.save_chrome_trace(folder / "none" / "trace.json"),
                    Catch::Contains("trace.json"));
}

TEST_CASE("profiler: a table by name") {
  const Tensor x = ones({1000});
  Profiler profiler;
  for (int i = 0; i < 3; ++i) exp(x);
  sigmoid(x);
  const std::string table = profiler.table();
  CHECK(table.find("operation") == 0);
  CHECK(table.find(profiler.events()[0].name) != std::string::npos);
  CHECK(std::count(table.begin(), table.end(), '\n') == 3);
  const std::string one = profiler.table(1);
  CHECK(std::count(one.begin(), one.end(), '\n') == 2);
}
