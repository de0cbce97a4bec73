"""Flow matching on points in the plane: a velocity learned on straight lines from noise to data, samples by Euler.

    genjax-zoo train flow_matching_points

An Experiment of its own: it has no likelihood yet.

Cost: under a minute on two CPU cores. Expected: all 25 "coverage/modes", "coverage/high_quality" 0.66.
"""

import dataclasses

import flax.linen as linen
import jax
import jax.numpy as jnp
import optax

from genjax_zoo import Experiment, Model, Player, data, evals, from_linen
from genjax_zoo.core import NO_CONDITION, Sampler, TermFn
from genjax_zoo.linen import image_spec, pure
from genjax_zoo.nn import MLP


# own
class Velocity(linen.Module):
    """Of x at time t, from noise at 0 to data at 1."""

    network: linen.Module

    def __call__(self, batch, key, train=False):
        return self.velocity(batch["x"], jnp.zeros(len(batch["x"])), train)

    def velocity(self, x, t, train=False):
        waves = t[:, None] * jnp.pi * 2.0 ** jnp.arange(4)
        return self.network(jnp.concatenate([x, jnp.sin(waves), jnp.cos(waves)], axis=1), train)


def flow_matching(shape: tuple[int], hidden: tuple[int, ...], steps: int) -> tuple[Model, TermFn]:
    """The model that draws by so many steps of Euler, and the term that trains it."""
    module = Velocity(MLP(hidden, shape[0], linen.silu))
    velocity = pure(module, Velocity.velocity)

    def terms(variables, batch, key, train):
        x, (k_t, k_noise) = batch["x"], jax.random.split(key)
        t, noise = jax.random.uniform(k_t, (len(x), 1)), jax.random.normal(k_noise, x.shape)
        found, variables = velocity(variables, (1 - t) * noise + t * x, t[:, 0], train=train)
        return {"matching": jnp.sum((found - (x - noise)) ** 2, axis=1)}, variables

    def draw(variables, key, n, cond=NO_CONDITION, *, train=False):
        def euler(x, t):
            return x + velocity(variables, x, jnp.full(n, t), train=train)[0] / steps, None

        return jax.lax.scan(euler, jax.random.normal(key, (n, *shape)), jnp.arange(steps) / steps)[0], variables

    return dataclasses.replace(from_linen(module, image_spec(shape)), sampler=Sampler(draw=draw)), terms


# end


def experiment(
    *,
    points: str = "grid25",
    hidden: int = 128,
    euler: int = 50,
    learning_rate: float = 2e-3,
    batch_size: int = 512,
    steps: int = 5_000,
    seed: int = 0,
) -> Experiment:
    """Flow matching (Lipman et al. 2022, arXiv:2210.02747) in two dimensions.

    Args:
        points: the set, a mixture of Gaussians.
        hidden: the width of the three hidden layers.
        euler: steps of a draw.
        learning_rate: Adam's step size at first; it falls to zero by a cosine.
        batch_size: points per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model, terms = flow_matching((2,), (hidden,) * 3, euler)
    tx = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))
    return Experiment(
        model=model,
        players={"flow": Player(terms=terms, weights={"matching": 1.0}, tx=tx, ema=0.99)},
        data=data.load(points, "train", batch_size=batch_size, seed=seed),
        steps=steps,
        seed=seed,
        evals={"coverage": evals.mode_coverage(*data.mixture(points)), "map": evals.sample_map()},
        steps_per_call=20,
    )
