// What check.py asks of the library.
#include <iostream>

#include <karyon/karyon.h>

using namespace karyon;

namespace {

constexpr const char* usage =
    "usage: interop_driver convert IN OUT.npz     any file of tensors\n"
    "       interop_driver unet WEIGHTS IN.npy OUT.npy   milesial's U-Net of base width 8, 3 channels in, 2 "
    "out\n"
    "       interop_driver events FOLDER          an event file for TensorBoard\n"
    "       interop_driver vit_b_32 WEIGHTS IN.npy OUT.npy   torchvision's\n"
    "       interop_driver MODULE WEIGHTS IN.npy OUT.npy   attention, encoder, lstm, gru or rnn of 8 "
    "features\n";

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

void run_vit(const std::string& weights, const std::string& in, const std::string& out) {
  ViT net(vit_b_32());
  load_weights(net, weights, {.rename = from_torchvision_vit});
  net.eval();
  const NoGradGuard no_grad;
  save_npy(out, net(from_pytorch_layout(load_npy(in))));
}

std::unique_ptr<Module> module_of(const std::string& name) {
  const Recurrent::Options two_ways{.num_layers = 2, .bidirectional = true};
  if (name == "attention") return std::make_unique<MultiheadAttention>(8, 2);
  if (name == "encoder")
    return std::make_unique<TransformerEncoder>(TransformerEncoderLayer(8, 2, {.dim_feedforward = 24}), 3);
  if (name == "lstm") return std::make_unique<LSTM>(8, 5, two_ways);
  if (name == "gru") return std::make_unique<GRU>(8, 5, two_ways);
  if (name == "rnn") return std::make_unique<RNN>(8, 5, two_ways);
  return nullptr;
}

void run_module(Module& module, const std::string& weights, const std::string& in, const std::string& out) {
  load_weights(module, weights);
  module.eval();
  const NoGradGuard no_grad;
  save_npy(out, module(load_npy(in)));
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
    else if (arguments.size() == 4 && arguments[0] == "vit_b_32")
      run_vit(arguments[1], arguments[2], arguments[3]);
    else if (const auto module = arguments.size() == 4 ? module_of(arguments[0]) : nullptr)
      run_module(*module, arguments[1], arguments[2], arguments[3]);
    else
      return std::cerr << usage, 2;
  } catch (const Error& e) {
    std::cout << e.what() << '\n';
    return 1;
  }
}
