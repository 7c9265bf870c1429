// What check.py asks of the library.
#include <iostream>

#include <karyon/karyon.h>

using namespace karyon;

namespace {

constexpr const char* usage =
    "usage: interop_driver convert IN OUT.npz     any file of tensors\n"
    "       interop_driver unet WEIGHTS IN.npy OUT.npy   milesial's U-Net of base width 8, 3 channels in, 2 "
    "out\n"
    "       interop_driver events FOLDER          an event file for TensorBoard\n";

void convert(const std::string& in, const std::string& out) {
  if (in.ends_with(".npy"))
    save_npz(out, {{"x", load_npy(in)}});
  else
    save_npz(out, load_tensors(in).tensors);
}

void run_unet(const std::string& weights, const std::string& in, const std::string& out) {
  UNet net({.in_channels = 3, .out_channels = 2, .base_width = 8});
  load_weights(net, weights, {.rename = from_milesial_unet});
  net.eval();
  const NoGradGuard no_grad;
  save_npy(out, to_pytorch_layout(net(from_pytorch_layout(load_npy(in)))));
}

// events.py knows these values.
void write_events(const std::string& folder) {
  SummaryWriter writer(folder);
  for (int step = 0; step < 5; ++step) writer.add_scalar("loss/train", 1.0 / (step + 1), 10 * step);
  writer.add_histogram("weights", arange(100, {.dtype = f32}), 3);
  Tensor picture = zeros({200, 150, 3}, {.dtype = u8});
  picture.index_put_({Slice(), Slice(0, 75), 0}, 255);
  writer.add_image("picture", picture, 4);
  writer.add_text("note", "**bold**", 5);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  try {
    if (arguments.size() == 3 && arguments[0] == "convert")
      convert(arguments[1], arguments[2]);
    else if (arguments.size() == 4 && arguments[0] == "unet")
      run_unet(arguments[1], arguments[2], arguments[3]);
    else if (arguments.size() == 2 && arguments[0] == "events")
      write_events(arguments[1]);
    else
      return std::cerr << usage, 2;
  } catch (const Error& e) {
    std::cout << e.what() << '\n';
    return 1;
  }
}
