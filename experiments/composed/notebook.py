"""A notebook's way: own arrays, an own loop, and a trained flow inside of Hamiltonian Monte Carlo.

    genjax-zoo train notebook
    python notebook.py

Cost: seconds on two CPU cores. Expected: "test/nll" 1.94 nats, where the Gaussian's entropy is 1.92; the second
command's chain has the data's covariance to 0.02.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genjax_zoo import Experiment, Player, data, likelihood_experiment, models
from genjax_zoo.core import Array, Key, Variables, log_prob
from genjax_zoo.train import create_state, eval_variables, make_step

MIXING = np.array([[1.0, 0.8], [0.0, 0.4]])  # x = noise @ MIXING


# own
def trained(made: Experiment) -> Variables:
    """The variables after an experiment's steps, one call for each."""
    state = create_state(made.model, made.players, jax.random.key(made.seed), made.data.at(0))
    step, batch = jax.jit(make_step(made.players), donate_argnums=0), jax.jit(made.data.at)
    for index in range(made.steps):
        state, _ = step(state, batch(index))
    return eval_variables(state)


# end


def hamiltonian(log_density: Callable[[Array], Array], start: Array, key: Key, n: int, rate: float = 0.2) -> Array:
    """N states [n, D] of a chain of eight leapfrog steps each (Neal 2011), accepted by the energy."""
    slope = jax.grad(log_density)

    def leap(_, state):
        q, p = state
        p = p + rate / 2 * slope(q)
        return q + rate * p, p + rate / 2 * slope(q + rate * p)

    def move(q, key):
        k_p, k_accept = jax.random.split(key)
        p = jax.random.normal(k_p, q.shape)
        new, new_p = jax.lax.fori_loop(0, 8, leap, (q, p))
        gain = log_density(new) - log_density(q) + 0.5 * (jnp.sum(p**2) - jnp.sum(new_p**2))
        q = jnp.where(jnp.log(jax.random.uniform(k_accept)) < gain, new, q)
        return q, q

    return jax.lax.scan(move, start, jax.random.split(key, n))[1]


def experiment(
    *,
    layers: int = 4,
    hidden: int = 32,
    learning_rate: float = 5e-3,
    batch_size: int = 256,
    steps: int = 1_000,
    seed: int = 0,
) -> Experiment:
    """Real NVP (Dinh et al. 2016) of a correlated Gaussian.

    Args:
        layers: couplings.
        hidden: the width of each one's hidden layer.
        learning_rate: Adam's step size at first; it falls to zero by a cosine.
        batch_size: points per step, over all devices.
        steps: train up to this step.
        seed: of parameters, and the training data's order.
    """
    rows = np.random.default_rng(0).normal(size=(4_000, 2)) @ MIXING
    model = models.real_nvp(shape=(2,), layers=layers, hidden=(hidden,))
    player = Player(terms=model.nll, tx=optax.adam(optax.cosine_decay_schedule(learning_rate, steps)))
    own = data.Splits(
        train=data.from_arrays(rows[:2_000], batch_size=batch_size, seed=seed),
        test=data.from_arrays(rows[2_000:], batch_size=500, train=False),
    )
    return likelihood_experiment(model, {"flow": player}, own, steps=steps, seed=seed, samples=None)


if __name__ == "__main__":
    made = experiment()
    variables, density = trained(made), log_prob(made.model)  # own
    chain = jax.jit(lambda key: hamiltonian(lambda x: density(variables, x), jnp.zeros(2), key, 2_000))  # own
    print("covariance of the chain", np.cov(np.asarray(chain(jax.random.key(1))).T).round(2).tolist())
    print("covariance of the data ", (MIXING.T @ MIXING).round(2).tolist())
