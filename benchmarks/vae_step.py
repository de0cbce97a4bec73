"""Steps per second of the MLP VAE's train step against the machine's own matrix products, in one alternating run.

    python benchmarks/vae_step.py [--torch]

The floor is the time of the step's matrix products alone (forward and backward), at the rate measured here. `--torch`
adds the same step in PyTorch, eager and compiled, when torch is installed. Minimum of many repeats; batches are given,
so this times the step and not the data.
"""

import argparse
import platform

import jax
import jax.numpy as jnp
import numpy as np
import optax
from timing import best, matmul_seconds

from genjax_zoo import Player, models
from genjax_zoo.train import create_state, make_step

LAYERS = ((784, 512), (512, 512), (512, 64), (32, 512), (512, 512), (512, 784))


def floor_operations(batch: int) -> int:
    """Floating-point operations of a step's matrix products: forward, by weights, and by inputs but for the first."""
    return sum(2 * batch * i * o * (2 if index == 0 else 3) for index, (i, o) in enumerate(LAYERS))


def ours(x):
    """One step of ours, as a function without arguments."""
    model = models.vae(shape=(28, 28, 1), latent=32, hidden=(512, 512))
    players = {"vae": Player(terms=model.nelbo, tx=optax.adam(1e-3))}
    batch = {"x": jnp.asarray(x)}
    state = [create_state(model, players, jax.random.key(0), batch)]
    step = jax.jit(make_step(players), donate_argnums=0)

    def run():
        state[0], metrics = step(state[0], batch)
        jax.block_until_ready((state[0], metrics))

    return run


def torchs(x, compiled):
    """The same step in PyTorch."""
    import torch  # type: ignore
    from torch import nn  # type: ignore

    def mlp(*widths):
        layers = [layer for i, o in zip(widths, widths[1:]) for layer in (nn.Linear(i, o), nn.ReLU())]
        return nn.Sequential(*layers[:-1])

    encoder, decoder = mlp(784, 512, 512, 64), mlp(32, 512, 512, 784)
    adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3, foreach=True)
    flat = torch.from_numpy(x.reshape(len(x), -1))

    def loss():
        mean, log_std = encoder(flat).chunk(2, -1)
        z = mean + log_std.exp() * torch.randn_like(mean)
        distortion = nn.functional.binary_cross_entropy_with_logits(decoder(z), flat, reduction="none").sum(-1)
        rate = (0.5 * ((2 * log_std).exp() + mean**2 - 1) - log_std).sum(-1)
        return (distortion + rate).mean()

    objective = torch.compile(loss) if compiled else loss

    def run():
        adam.zero_grad(set_to_none=True)
        objective().backward()
        adam.step()

    return run


def main():
    """Prints one row per batch size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--torch", action="store_true", help="measure PyTorch, too")
    parser.add_argument("--repeats", type=int, default=60)
    flags = parser.parse_args()
    rate = 1 / matmul_seconds()
    print(f"{platform.machine()}, jax {jax.__version__}, {jax.devices()[0]}: matmul {rate / 1e9:.0f} GFLOP/s")
    for batch in (128, 1024):
        x = np.random.default_rng(0).integers(0, 2, (batch, 28, 28, 1)).astype(np.float32)
        runs = {"genjax_zoo": ours(x)}
        if flags.torch:
            runs |= {"torch eager": torchs(x, False), "torch compile": torchs(x, True)}
        least = best(runs, flags.repeats)
        floor = floor_operations(batch) / rate
        row = "  ".join(f"{name} {seconds * 1e3:.2f} ms" for name, seconds in least.items())
        mine = least["genjax_zoo"]
        against = f"  {min(v for k, v in least.items() if k != 'genjax_zoo') / mine:.2f}x torch" if flags.torch else ""
        print(f"batch {batch}: {row}  floor {floor * 1e3:.2f} ms = {floor / mine:.0%} of our step{against}")


if __name__ == "__main__":
    main()
