// Trains a small network to find bright discs in noise. Build, run, read the falling loss.
#include <iostream>

#include <karyon/karyon.h>

using namespace karyon;

int main() {
  manual_seed(1);
  Sequential net;  // images are [N, H, W, C]
  net.add<Conv2d>(1, 8, 3, {.padding = 1, .bias = false});
  net.add<BatchNorm2d>(8, {.relu = true});
  net.add<Conv2d>(8, 1, 3, {.padding = 1});

  // 16 images of noise, each with a disc; the target says which pixels are in it.
  Tensor images = randn({16, 32, 32, 1}), targets = zeros_like(images);
  for (int i = 0; i < 16; ++i)
    for (int y = 0; y < 32; ++y)
      for (int x = 0; x < 32; ++x)
        if ((y - 8 - i) * (y - 8 - i) + (x - 16) * (x - 16) < 36) {
          const int pixel = (i * 32 + y) * 32 + x;
          images.data<float>()[pixel] += 2;
          targets.data<float>()[pixel] = 1;
        }

  Adam adam(net.parameters(), {.lr = 0.02});
  const TensorDataset dataset({images, targets});
  const DataLoader loader(dataset, {.batch_size = 4, .shuffle = true});
  for (int epoch = 0; epoch < 10; ++epoch) {
    double total = 0;
    for (const Batch& batch : loader.epoch(static_cast<std::uint64_t>(epoch))) {
      adam.zero_grad();
      const Tensor loss = bce_with_logits(net(batch[0]), batch[1]);
      loss.backward();
      adam.step();
      total += loss.item();
    }
    std::cout << "epoch " << epoch << "  loss " << total / static_cast<double>(loader.size()) << '\n';
  }
  save_weights(net, "quickstart.safetensors");
}
