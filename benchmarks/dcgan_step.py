"""Seconds of DCGAN's two turns (32x32x3, widths 64-128-256, batch 64) against PyTorch's and the matrix products alone.

    python benchmarks/dcgan_step.py [--torch] [--repeats 10] [--json FILE]

Critic and generator take one turn each, with Adam, STEPS times, in one alternating run; minimum of the repeats. Ours
are STEPS of one scan, as the experiments train (`steps_per_call`): what a call allocates, it pays once. The floor is
the time of the convolutions' arithmetic at the rate of a large matrix product, measured here. `--torch` adds the same
two turns in PyTorch, eager and compiled.
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

from genjax_zoo import Player, losses, models
from genjax_zoo.train import create_state, make_steps

STEPS, BATCH, LATENT, WIDTHS, SHAPE = 10, 64, 100, (64, 128, 256), (32, 32, 3)
PASSES = {
    "generator": 1 + 3,
    "discriminator": 2 * 3 + 2,
}  # forward 1, weights' gradient 1, inputs' 1


def operations() -> int:
    """Floating-point operations of both turns' matrix products."""
    channels, places = (SHAPE[2], *WIDTHS), [16 * 16, 8 * 8, 4 * 4]
    pyramid = sum(2 * BATCH * p * 16 * i * o for p, i, o in zip(places, channels, channels[1:]))
    return pyramid * sum(PASSES.values())


def ours(x: np.ndarray):
    """Both turns of ours, as a function without arguments; inside a scan, as training runs them."""
    model = models.dcgan(shape=SHAPE, latent=LATENT, widths=WIDTHS)
    critic, generator = losses.adversarial(model)
    adam, weights = optax.adam(2e-4, b1=0.5), {"adversarial": 1.0}
    players = {
        "critic": Player(terms=critic, weights=weights, tx=adam, owns=("discriminator",)),
        "generator": Player(terms=generator, weights=weights, tx=adam, owns=("generator",)),
    }
    batch = {"x": jnp.asarray(x)}
    state = [create_state(model, players, jax.random.key(0), batch)]
    source = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (STEPS, *leaf.shape)), batch)
    step = jax.jit(make_steps(players, steps=STEPS), donate_argnums=0)

    def run():
        state[0], metrics = step(state[0], source)
        jax.block_until_ready((state[0], metrics))

    return run


def torchs(x: np.ndarray, compiled: bool):
    """The same two turns in PyTorch."""
    import torch  # type: ignore
    from torch import nn  # type: ignore
    from torch.nn import functional as F  # type: ignore

    wide = WIDTHS[::-1]
    up = [nn.Linear(LATENT, 16 * wide[0], bias=False), nn.Unflatten(1, (wide[0], 4, 4)), nn.BatchNorm2d(wide[0])]
    for i, o in zip(wide, wide[1:]):
        up += [nn.ReLU(), nn.ConvTranspose2d(i, o, 4, 2, 1, bias=False), nn.BatchNorm2d(o)]
    generator = nn.Sequential(*up, nn.ReLU(), nn.ConvTranspose2d(wide[-1], SHAPE[2], 4, 2, 1), nn.Tanh())
    down = [nn.Conv2d(SHAPE[2], WIDTHS[0], 4, 2, 1), nn.LeakyReLU(0.2)]
    for i, o in zip(WIDTHS, WIDTHS[1:]):
        down += [nn.Conv2d(i, o, 4, 2, 1, bias=False), nn.BatchNorm2d(o), nn.LeakyReLU(0.2)]
    discriminator = nn.Sequential(*down, nn.Flatten(), nn.Linear(16 * WIDTHS[-1], 1))
    adams = [torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999), foreach=True) for net in (discriminator, generator)]
    generator, discriminator = (
        generator.to(memory_format=torch.channels_last),
        discriminator.to(memory_format=torch.channels_last),
    )
    real = torch.from_numpy(np.moveaxis(x, -1, 1).copy()).to(memory_format=torch.channels_last)

    def of_critic():
        with torch.no_grad():
            fake = generator(torch.randn(BATCH, LATENT))
        return (F.softplus(-discriminator(2 * real - 1)) + F.softplus(discriminator(fake))).mean()

    def of_generator():
        return F.softplus(-discriminator(generator(torch.randn(BATCH, LATENT)))).mean()

    turns = [torch.compile(turn) if compiled else turn for turn in (of_critic, of_generator)]

    def run():
        for turn, adam, others in STEPS * list(zip(turns, adams, (generator, discriminator))):
            others.requires_grad_(False)
            adam.zero_grad(set_to_none=True)
            turn().backward()
            adam.step()
            others.requires_grad_(True)

    return run


def main() -> None:
    """Prints a row per implementation."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--torch", action="store_true")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--json", type=Path)
    flags = parser.parse_args()
    x = np.random.default_rng(0).uniform(size=(BATCH, *SHAPE)).astype(np.float32)
    runs = {"ours": ours(x)}
    if flags.torch:
        runs |= {"torch": torchs(x, False), "torch compiled": torchs(x, True)}
    floor = operations() * matmul_seconds()
    seconds = {name: s / STEPS for name, s in best(runs, flags.repeats).items()}
    print(f"{platform.machine()}, {jax.devices()[0].device_kind}, jax {jax.__version__}")
    rows = [{"name": name, "ms": 1e3 * s, "of_floor": floor / s} for name, s in {**seconds, "floor": floor}.items()]
    fastest = min((s for name, s in seconds.items() if name != "ours"), default=None)
    for row in rows:
        print(f"{row['name']:16} {row['ms']:8.1f} ms   {row['of_floor']:.0%} of the floor's rate")
    if fastest is not None:
        print(f"ours is {fastest / seconds['ours']:.2f}x the fastest of PyTorch's")
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
