"""Milliseconds of an autoregressive model's train step against PyTorch and the machine's own matrix products.

    python benchmarks/causal_step.py [--torch] [--window 4096] [--batch 4] [--repeats N] [--json FILE]

The networks are WaveNet's of experiments/wavenet_spoken_digit.py, and a gated PixelCNN of 8 layers of 64 on 28x28. The
floor is the time of the step's matrix products alone (forward, by weights, by inputs), at the rate measured in the same
run. Minimum of runs that take turns.
"""

import argparse
import json
import platform
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from timing import best, matmul_seconds

from genjax_zoo import Player, models
from genjax_zoo.train import create_state, make_step

LAYERS, BLOCK, FEATURES, LEVELS = 20, 10, 64, 256


def products(skip: int) -> int:
    """Multiplications of matrix products, forward, for one sample; those of the codes are a look-up."""
    layer = 2 * FEATURES * 2 * FEATURES
    return LAYERS * layer + (LAYERS - 1) * FEATURES**2 + LAYERS * FEATURES * skip + skip * skip + skip * LEVELS


def ours(codes, skip: int):
    """One step of ours, as a function without arguments."""
    model = models.wavenet(length=codes.shape[1], skip=skip, conditions={})
    return step_of(model, {"x": jnp.asarray(codes[..., None] / (LEVELS - 1), jnp.float32)})


def step_of(model, batch):
    """One train step of a model, as a function without arguments."""
    players = {"model": Player(terms=model.nll, tx=optax.adam(1e-3))}
    state = [create_state(model, players, jax.random.key(0), batch)]
    step = jax.jit(make_step(players), donate_argnums=0)

    def run():
        state[0], metrics = step(state[0], batch)
        jax.block_until_ready((state[0], metrics))

    return run


def torchs(codes, skip: int):
    """The same step in PyTorch: dilated convolutions over [B, C, T]."""
    import torch  # type: ignore
    from torch import nn  # type: ignore
    from torch.nn import functional as F  # type: ignore

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(LEVELS + 1, FEATURES)
            dilations = [2 ** (layer % BLOCK) for layer in range(LAYERS)]
            self.gates = nn.ModuleList(nn.Conv1d(FEATURES, 2 * FEATURES, 2, dilation=d) for d in dilations)
            self.residual = nn.ModuleList(nn.Conv1d(FEATURES, FEATURES, 1) for _ in dilations[1:])
            self.skips = nn.Conv1d(LAYERS * FEATURES, skip, 1)
            self.hidden, self.logits = nn.Conv1d(skip, skip, 1), nn.Conv1d(skip, LEVELS, 1)

        def forward(self, codes):
            h, seen = self.embed(F.pad(codes[:, :-1], (1, 0), value=LEVELS)).transpose(1, 2), []
            for layer, gates in enumerate(self.gates):
                a, b = gates(F.pad(h, (gates.dilation[0], 0))).chunk(2, 1)
                seen.append(a.tanh() * b.sigmoid())
                if layer < len(self.residual):
                    h = h + self.residual[layer](seen[-1])
            return self.logits(self.hidden(self.skips(torch.cat(seen, 1)).relu()).relu())

    network, x = Network(), torch.from_numpy(codes.astype(np.int64))
    adam = torch.optim.Adam(network.parameters(), 1e-3, foreach=True)

    def run():
        adam.zero_grad(set_to_none=True)
        (F.cross_entropy(network(x), x, reduction="sum") / len(x)).backward()
        adam.step()

    return run


def gated_pixel_cnn(flags) -> dict:
    """The row of a gated PixelCNN, 8 layers of 64, on 32 binary images of 28x28."""
    x = np.random.default_rng(0).integers(0, 2, (32, 28, 28, 1))
    model = models.gated_pixel_cnn(shape=(28, 28, 1))
    runs = {"genjax_zoo": step_of(model, {"x": jnp.asarray(x, jnp.float32)})}
    if flags.torch:
        from torch_networks import GatedPixelCNN, training

        runs["torch"] = training(GatedPixelCNN(), x.transpose(0, 3, 1, 2))
    least, wide = best(runs, flags.repeats), 2 * 64
    first = 64 * wide * (4 * 7 + 4)  # the 7x7 kernel's upper half, and its left
    rest = 7 * 64 * wide * (2 * 3 + 2)
    floor = 3 * 2 * (first + rest + 8 * (wide * wide + 64 * 64) + 64 * 64) * x.size * matmul_seconds()
    return row("gated_pixel_cnn 28x28, 8 x 64, batch 32", floor, least)


def row(name: str, floor: float, least: dict[str, float]) -> dict:
    """Milliseconds, and ratios of them."""
    mine, found = least["genjax_zoo"], {"name": name, "floor_ms": 1e3 * floor}
    found |= {f"{other}_ms": 1e3 * seconds for other, seconds in least.items()}
    found |= {"torch_ratio": least["torch"] / mine} if "torch" in least else {}
    return {**found, "share_of_floor": floor / mine}


def main():
    """Prints a row for each network."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--torch", action="store_true", help="measure PyTorch, too")
    parser.add_argument("--window", type=int, default=4_096)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--json", type=Path, help="a file for the rows")
    flags = parser.parse_args()
    codes, rows = np.random.default_rng(0).integers(0, LEVELS, (flags.batch, flags.window)), []
    print(f"{platform.machine()}, jax {jax.__version__}, {jax.devices()[0]}", flush=True)
    for skip in (256, 128):
        runs = {"genjax_zoo": ours(codes, skip), **({"torch": torchs(codes, skip)} if flags.torch else {})}
        least = best(runs, flags.repeats)
        floor = 3 * 2 * products(skip) * codes.size * matmul_seconds()
        rows.append(row(f"wavenet 64/{skip}/256, {flags.batch} x {flags.window}", floor, least))
    rows.append(gated_pixel_cnn(flags))
    for found in rows:
        print("  ".join(f"{key} {v:,.3g}" if isinstance(v, float) else v for key, v in found.items()), flush=True)
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
