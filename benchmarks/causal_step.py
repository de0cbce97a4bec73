"""Milliseconds of an autoregressive model's train step against PyTorch and the machine's own matrix products.

    python benchmarks/causal_step.py [--torch] [--window 4096] [--batch 4] [--repeats N] [--json FILE]

The network is WaveNet's of experiments/wavenet_spoken_digit.py. The floor is the time of the step's matrix products
alone (forward, by weights, by inputs), at the rate measured in the same run. Minimum of runs that take turns.
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
    players = {"model": Player(terms=model.nll, weights={"nll": 1.0}, tx=optax.adam(1e-3))}
    batch = {"x": jnp.asarray(codes[..., None] / (LEVELS - 1), jnp.float32)}
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


def main():
    """Prints one row per width of the skip connections."""
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
        mine = least["genjax_zoo"]
        found = {"name": f"wavenet 64/{skip}/256, {flags.batch} x {flags.window}", "floor_ms": 1e3 * floor}
        found |= {f"{name}_ms": 1e3 * seconds for name, seconds in least.items()}
        found |= {"torch_ratio": least["torch"] / mine} if flags.torch else {}
        rows.append({**found, "share_of_floor": floor / mine})
        print("  ".join(f"{key} {v:,.3g}" if isinstance(v, float) else v for key, v in rows[-1].items()), flush=True)
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
