// network_runner MODEL.onnx INPUT.npy OUTPUT.npy [seconds]: the first output of a network for one input.
// With a number of seconds it goes on for so long and prints the milliseconds of the fastest run.
#include <chrono>
#include <iostream>
#include <string>

#include <karyon/core/autograd.h>
#include <karyon/core/io/numpy.h>
#include <karyon/models/onnx/onnx.h>

int main(int count, char** arguments) {
  try {
    karyon::check(count == 4 || count == 5,
                  "usage: network_runner MODEL.onnx INPUT.npy OUTPUT.npy [seconds]");
    const auto net = karyon::load_onnx(arguments[1]);
    const karyon::NoGradGuard guard;
    const karyon::Tensor x = karyon::load_npy(arguments[2]);
    karyon::save_npy(arguments[3], (*net)(x));
    if (count == 4) return 0;
    using Clock = std::chrono::steady_clock;
    const auto begin = Clock::now();
    double best = 1e9;
    while (std::chrono::duration<double>(Clock::now() - begin).count() < std::stod(arguments[4])) {
      const auto start = Clock::now();
      (*net)(x).data_ptr();
      best = std::min(best, std::chrono::duration<double, std::milli>(Clock::now() - start).count());
    }
    std::cout << best << "\n";
    return 0;
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
