"""The importance-weighted bound as a term, with a choice of gradients (Burda et al. 2015, arXiv:1509.00519).

An estimator is a function (weigh, k) -> -log mean_k w [B], nats. All have this value; their gradients differ.
weigh(detached=False, tilt=None) gives log w [k, B]: `detached` takes q's parameters as constants where log q(z | x) is
evaluated, and `tilt` [k, B] multiplies the gradient that flows back through each draw of z.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from genjax_zoo.core import Array, Batch, Density, Explained, Key, Model, Terms, Variables, part
from genjax_zoo.errors import UserError

Weigh = Callable[..., Array]
Estimator = Callable[[Weigh, int], Array]


def reparameterized(weigh: Weigh, k: int) -> Array:
    """Autodiff through every draw (Burda et al. 2015, sec. 3)."""
    return _bound(weigh(), k)


def sticking_the_landing(weigh: Weigh, k: int) -> Array:
    """Drops the score of q, whose mean is zero for k = 1: no variance is left at the true posterior.

    For k > 1 the encoder's gradient is biased; `doubly_reparameterized` is not (Roeder et al. 2017, arXiv:1703.09194).
    """
    return _bound(weigh(detached=True), k)


def doubly_reparameterized(weigh: Weigh, k: int) -> Array:
    """Weighs the encoder's gradient by w^2: unbiased, and its signal does not vanish with k.

    Costs one more forward pass (Tucker et al. 2018, arXiv:1810.04152, eq. 8).
    """
    log_w = jax.lax.stop_gradient(weigh())
    share = jax.nn.softmax(log_w, axis=0)
    surrogate = -jnp.sum(share * weigh(detached=True, tilt=share), axis=0)
    return _bound(log_w, k) + surrogate - jax.lax.stop_gradient(surrogate)


def importance_weighted(model: Model, *, k: int, estimator: Estimator = reparameterized) -> Explained:
    """The term "iw_nelbo" [B], nats: an upper bound on -log p(x) that tightens with k; k = 1 is the VAE's.

    Args:
        model: has a density that weighs several draws.
        k: draws of z per example.
        estimator: whose gradient to take.

    Raises:
        UserError: the model's density has no `weigh`, or k is below 1.
    """
    weigh = part(model, Density, "weigh")
    if k < 1 or k != int(k):
        raise UserError(f"An importance-weighted bound needs k of 1 or more, not {k}.")

    def run(variables: Variables, batch: Batch, key: Key, *, train: bool = False) -> tuple[Terms, Variables]:
        changed = [variables]

        def weighed(**how) -> Array:
            same = jax.random.clone(key)  # an estimator that weighs twice weighs the same draws
            log_w, changed[0] = weigh(variables, batch, same, k, train=train, **how)
            return log_w

        return {"iw_nelbo": estimator(weighed, k)}, changed[0]

    formula = f"-log(1/{k} sum_j p(x, z_j) / q(z_j | x)), z_1 ... z_{k} ~ q(z | x)"
    return Explained(terms=run, formulas={"iw_nelbo": formula}, units={"iw_nelbo": "nats"})


def _bound(log_w: Array, k: int) -> Array:
    return math.log(k) - jax.nn.logsumexp(log_w, axis=0)
