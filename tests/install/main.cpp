// What a stranger writes first: a small U-Net learns one image. Ends with 0 only if the loss fell.
#include <iostream>

#include <karyon/karyon.h>

int main() {
  karyon::manual_seed(3);
  karyon::UNet net({.in_channels = 1, .base_width = 4, .depth = 2});
  const karyon::Tensor image = karyon::randn({1, 16, 16, 1});
  const karyon::Tensor target = karyon::ones({1, 16, 16, 1});
  karyon::Adam adam(net.parameters(), {.lr = 0.01});

  double first = 0, last = 0;
  for (int step = 0; step < 5; ++step) {
    adam.zero_grad();
    const karyon::Tensor loss = karyon::bce_with_logits(net(image), target);
    loss.backward();
    adam.step();
    last = loss.item();
    if (step == 0) first = last;
  }
  std::cout << "loss " << first << " -> " << last << '\n';
  return last < first ? 0 : 1;
}
