"""A flow with a context: p(x | c) of points x in the plane for c in R^3, by Real NVP.

    genjax-zoo train conditional_flow_points

x is N(c[:2], s^2), s = 0.1 + sigmoid(c[2]).

Cost: seconds on two CPU cores. Expected: "test/nll" 1.64 nats; the truth's own is 1.63.
"""

import numpy as np
import optax

from genjax_zoo import Experiment, Player, data, likelihood_experiment, models, nn


def points(n: int, seed: int) -> dict[str, np.ndarray]:
    """N draws of c and x."""
    random = np.random.default_rng(seed)
    context = random.normal(size=(n, 3))
    scale = 0.1 + 1 / (1 + np.exp(-context[:, 2:]))
    return {"x": context[:, :2] + scale * random.normal(size=(n, 2)), "context": context}


def experiment(
    *,
    layers: int = 4,
    hidden: int = 64,
    learning_rate: float = 3e-3,
    batch_size: int = 256,
    steps: int = 2_000,
    seed: int = 0,
) -> Experiment:
    """Real NVP (Dinh et al. 2016) as a conditional density.

    Args:
        layers: couplings.
        hidden: the width of each one's hidden layer.
        learning_rate: Adam's step size at first; it falls to zero by a cosine.
        batch_size: points per step, over all devices.
        steps: train up to this step.
        seed: of parameters, and the training data's order.
    """
    context = {"context": (3,)}  # own
    model = models.real_nvp(shape=(2,), layers=layers, hidden=(hidden,), norm=nn.ActNorm, conditions=context)  # own
    plane = data.Splits(
        train=data.from_arrays(points(20_000, 0), batch_size=batch_size, seed=seed),
        test=data.from_arrays(points(2_000, 1), batch_size=500, train=False),
    )
    schedule = optax.cosine_decay_schedule(learning_rate, steps)
    player = Player(terms=model.nll, tx=optax.adam(schedule))
    return likelihood_experiment(
        model, {"flow": player}, plane, steps=steps, seed=seed, samples=None, steps_per_call=20
    )
