"""Glow, through noise and the logit: on the embedded 8x8 digits, or on MNIST.

    genjax-zoo train glow
    GENJAX_ZOO_DATA=FOLDER genjax-zoo train glow --data mnist --workdir runs/glow_mnist

"test/nelbo" is a bound on -log P of the grey levels, 17 of the digits and 256 of MNIST, and comparable with every other
model's of them. FOLDER/mnist holds the four original .gz files.

Cost: 13 minutes on one CPU core. Expected: "test/nelbo" 91.6 nats at the best checkpoint by validation, and 105 at the
end. MNIST takes hundreds of epochs on an accelerator, and is unfinished after its steps: 1.05 bits/dim are reported
(Grathwohl et al. 2019).
"""

from typing import Literal, NamedTuple

import optax

from genjax_zoo import Experiment, Player, evals, likelihood_experiment, models, wrap
from genjax_zoo.data import splits


class Setting(NamedTuple):
    """What the two data sets need."""

    size: int  # pixels in height and width
    levels: int  # grey ones
    alpha: float  # keeps the logit from its ends
    depth: int
    width: int
    ema: float
    batch_size: int
    steps: int


SETTINGS = {
    "digits": Setting(8, 17, alpha=0.01, depth=8, width=64, ema=0.99, batch_size=128, steps=4_000),
    "mnist": Setting(28, 256, alpha=1e-6, depth=16, width=128, ema=0.999, batch_size=100, steps=20_000),
}


def experiment(
    *,
    data: Literal["digits", "mnist"] = "digits",
    scales: int = 2,
    depth: int | None = None,
    width: int | None = None,
    learning_rate: float = 1e-3,
    batch_size: int | None = None,
    steps: int | None = None,
    seed: int = 0,
) -> Experiment:
    """Glow (Kingma & Dhariwal 2018).

    Args:
        data: the data set.
        scales: how many; half of the channels leave after each but the last.
        depth: steps of flow at each scale; 8 for the digits and 16 for MNIST where it is not given.
        width: of the couplings' networks; 64 and 128 where it is not given.
        learning_rate: Adam's step size at first; it falls to zero by a cosine.
        batch_size: images per step, over all devices; 128 and 100 where it is not given.
        steps: train up to this step; 4,000 and 20,000 where it is not given.
        seed: of parameters, noise, and the training data's order.
    """
    of = SETTINGS[data]
    steps = of.steps if steps is None else steps
    density = models.glow(
        shape=(of.size, of.size, 1),
        scales=scales,
        steps=of.depth if depth is None else depth,
        width=of.width if width is None else width,
    )
    model = wrap.dequantized(wrap.logit_space(density, alpha=of.alpha), levels=of.levels)
    tx = optax.chain(optax.clip_by_global_norm(100.0), optax.adam(optax.cosine_decay_schedule(learning_rate, steps)))
    return likelihood_experiment(
        model,
        {"flow": Player(terms=model.nelbo, tx=tx, ema=of.ema)},
        splits(data, batch_size=of.batch_size if batch_size is None else batch_size, seed=seed),
        steps=steps,
        seed=seed,
        more={"temperatures": evals.temperatures()},
        eval_every=500,
        save_every=500,
    )
