"""Neural spline flow on points in the plane, whose true density is known: the KL divergence to it, and maps of both.

    genjax-zoo train neural_spline_points --points checkerboard

`--points` is grid25, ring8, checkerboard or two-moons; "truth/kl" is the nll less the true entropy.

Cost: 8 minutes on one CPU core. Expected by step 12,000: "truth/kl" 0.045 nats of grid25, 0.028 of checkerboard, 0.005
of two-moons.
"""

from functools import partial

import optax

from genjax_zoo import Experiment, Player, data, evals, likelihood_experiment, models


def experiment(
    *,
    points: str = "grid25",
    autoregressive: bool = False,
    layers: int = 6,
    hidden: int = 128,
    bins: int = 16,
    learning_rate: float = 2e-3,
    batch_size: int = 512,
    steps: int = 20_000,
    seed: int = 0,
) -> Experiment:
    """RQ-NSF (Durkan et al. 2019) in two dimensions.

    Args:
        points: the set.
        autoregressive: masked layers instead of couplings.
        layers: of splines.
        hidden: width of both layers of each network.
        bins: of every spline.
        learning_rate: Adam's step size at first; it falls to zero by a cosine.
        batch_size: points per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    build = models.spline_autoregressive if autoregressive else models.spline_coupling
    model = build(shape=(2,), layers=layers, hidden=(hidden, hidden), bins=bins, unroll=layers)
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
