"""Neural spline flow on points in the plane, whose true density is known: the KL divergence to it, and maps of both.

    genjax-zoo train experiments/neural_spline_points.py --points checkerboard

Needs no files. `--points` is grid25, ring8, checkerboard or two-moons; "truth/kl" is the nll less the true entropy.
"""

from functools import partial

import optax

from genjax_zoo import Experiment, Player, data, evals, main, models


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
    truth = partial(data.log_density, points)
    test = data.load(points, "test", batch_size=1_000)
    return Experiment(
        model=model,
        players={"flow": Player(terms=model.nll, tx=tx, ema=0.999)},
        data=data.load(points, "train", batch_size=batch_size, seed=seed),
        steps=steps,
        seed=seed,
        evals={
            "test": evals.likelihood(test),
            "truth": evals.divergence(test, truth),
            "density": evals.density_map(truth, bound=1.6 if points == "ring8" else 5.0),
        },
        eval_every=max(1, steps // 5),
        save_every=max(1, steps // 5),
        steps_per_call=20,
    )


if __name__ == "__main__":
    main(experiment)
