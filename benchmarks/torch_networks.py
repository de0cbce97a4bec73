"""Networks in PyTorch, for benchmarks that compare with it; imported only where --torch is given."""

import torch  # type: ignore
from torch import nn  # type: ignore
from torch.nn import functional as F  # type: ignore


class GatedLayer(nn.Module):
    """One layer of both stacks, as genjax_zoo.nn.causal has it, over [B, C, H, W]."""

    def __init__(self, inputs: int, features: int, size: int, residual: bool):
        super().__init__()
        self.reach, self.residual = size // 2, residual
        self.vertical = nn.Conv2d(inputs, 2 * features, (self.reach + 1, size))
        self.horizontal = nn.Conv2d(inputs, 2 * features, (1, self.reach + 1))
        self.across = nn.Conv2d(2 * features, 2 * features, 1)
        self.out = nn.Conv2d(features, features, 1)

    def forward(self, vertical, horizontal):
        down = self.vertical(F.pad(vertical, (self.reach, self.reach, self.reach, 0)))
        left = self.horizontal(F.pad(horizontal, (self.reach, 0)))
        seen = self.out(gated(left + self.across(F.pad(down, (0, 0, 1, 0))[:, :, :-1])))
        return gated(down), (horizontal + seen if self.residual else seen)


class GatedPixelCNN(nn.Module):
    """Logits [B, K, H, W] of levels [B, 1, H, W]."""

    def __init__(self, levels: int = 2, features: int = 64, layers: int = 8, size: int = 7):
        super().__init__()
        self.levels = levels
        self.embed = nn.Conv2d(1, features, 1)
        rest = [GatedLayer(features, features, 3, True) for _ in range(layers - 1)]
        self.stack = nn.ModuleList([GatedLayer(features, features, size, False), *rest])
        self.hidden, self.logits = nn.Conv2d(features, features, 1), nn.Conv2d(features, levels, 1)

    def forward(self, x):
        vertical = self.embed(2 * x.float() / (self.levels - 1) - 1)
        horizontal = F.pad(vertical, (1, 0))[..., :-1]
        for layer in self.stack:
            vertical, horizontal = layer(vertical, horizontal)
        return self.logits(self.hidden(horizontal.relu()).relu())


def gated(x):
    """tanh(a) * sigmoid(b) of the two halves of the channels."""
    a, b = x.chunk(2, 1)
    return a.tanh() * b.sigmoid()


def evaluation(network: nn.Module, x):
    """A function without arguments that evaluates a network once, without gradients."""
    x = torch.from_numpy(x)

    @torch.inference_mode()
    def run():
        return network(x)

    return run


def training(network: nn.Module, x):
    """A function without arguments that takes one step of Adam on the cross-entropy of x, summed over an example."""
    x = torch.from_numpy(x)
    adam = torch.optim.Adam(network.parameters(), 1e-3, foreach=True)

    def run():
        adam.zero_grad(set_to_none=True)
        (F.cross_entropy(network(x), x[:, 0], reduction="sum") / len(x)).backward()
        adam.step()

    return run
