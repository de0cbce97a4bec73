"""Inverse autoregressive flow on points in the plane: samples in one pass per layer, densities one number at a time.

    genjax-zoo train iaf_points

`--points` is grid25, ring8, checkerboard or two-moons; "truth/kl" is the nll less the true entropy.

Cost: not measured; minutes of two CPU cores. Unfinished: "truth/kl" 0.60 nats at step 3,000.
"""

from functools import partial

import optax

from genjax_zoo import Experiment, Player, data, evals, likelihood_experiment, models


def experiment(
    *,
    points: str = "two-moons",
    layers: int = 8,
    hidden: int = 128,
    learning_rate: float = 2e-3,
    batch_size: int = 512,
    steps: int = 5_000,
    seed: int = 0,
) -> Experiment:
    """IAF (Kingma et al. 2016) in two dimensions.

    Args:
        points: the set.
        layers: autoregressive ones.
        hidden: width of both layers of each network.
        learning_rate: Adam's step size at first; it falls to zero by a cosine.
        batch_size: points per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model = models.iaf(shape=(2,), layers=layers, hidden=(hidden, hidden), unroll=layers)
    tx = optax.chain(optax.clip_by_global_norm(5.0), optax.adam(optax.cosine_decay_schedule(learning_rate, steps)))
    plane = data.splits(points, batch_size=batch_size, seed=seed, eval_batch_size=1_000, valid=False)
    truth, bound = partial(data.log_density, points), 1.6 if points == "ring8" else 5.0
    return likelihood_experiment(
        model,
        {"flow": Player(terms=model.nll, tx=tx, ema=0.999)},
        plane,
        steps=steps,
        seed=seed,
        samples=None,
        more={"truth": evals.divergence(plane.test, truth), "density": evals.density_map(truth, bound=bound)},
        eval_every=max(1, steps // 5),
        save_every=max(1, steps // 5),
        steps_per_call=20,
    )
