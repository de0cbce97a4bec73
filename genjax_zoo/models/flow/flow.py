"""The root of every flow: a bijection from data to latents, and a prior on those.

-log p(x) = -log p(z) - log |det dz/dx|, z = forward(x); both are terms, "prior" and "log_det". A label y is given to
every layer as one-hot [B, classes]. The paper files build the bijection.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.core import Array, Batch, Key, Model, Terms, conditions
from genjax_zoo.linen import from_linen, image_spec
from genjax_zoo.math import Prior, normal
from genjax_zoo.nn import Bijection, Chain, Flatten

Shape = tuple[int, ...]


class Flow(nn.Module):
    """A density by change of variables; its network is "bijection"."""

    shape: Shape
    prior: Prior
    bijection: Bijection  # x [B, *shape] -> z [B, D]
    classes: int = 0
    formulas = {"prior": "-log p(z), z = f(x)", "log_det": "-log |det df/dx|"}

    def __call__(self, batch: Batch, key: Key, train: bool = False) -> Terms:
        return self.nll(batch, key, train)

    def nll(self, batch: Batch, key: Key, train: bool = False) -> Terms:
        """Minus log p(z), and minus the log-determinant of dz/dx, nats [B]."""
        z, log_det = self.bijection.forward(batch["x"], self._given(conditions(batch)), train)
        return {"prior": self.prior.nll(z), "log_det": -log_det}

    def encode(self, batch: Batch, key: Key, train: bool = False) -> Array:
        """The one latent of x, [B, D]."""
        return self.bijection.forward(batch["x"], self._given(conditions(batch)), train)[0]

    def decode(self, z: Array, cond: Batch, train: bool = False) -> Array:
        """The one x of a latent, [B, *shape]."""
        return self.bijection.inverse(z, self._given(cond), train)[0]

    def sample_prior(self, key: Key, n: int, cond: Batch, train: bool = False, temperature: float = 1.0) -> Array:
        """Draws from p(z), [n, D]."""
        if temperature != 1 and self.prior is not normal:
            raise ValueError("A temperature is of a Gaussian prior, and this flow's is another; use prior=math.normal.")
        return temperature * self.prior.sample(key, (n, math.prod(self.shape))).astype(jnp.float32)

    def sample(self, key: Key, n: int, cond: Batch, train: bool = False, **how: float) -> Array:
        """Decoded draws from p(z), [n, *shape]."""
        return self.decode(self.sample_prior(key, n, cond, train, **how), cond, train)

    def _given(self, cond: Batch) -> Array | None:
        return one_hot(cond, self.classes)


def one_hot(cond: Batch, classes: int) -> Array | None:
    """The label as [B, classes], or None where there are no classes."""
    return jax.nn.one_hot(cond["label"], classes, dtype=jnp.float32) if classes else None


def flow(shape: Shape, bijection: Bijection, *, prior: Prior = normal, classes: int = 0) -> Model:
    """The model of a bijection from x [B, *shape] to [B, D]; `classes` > 0 asks for a label."""
    module, spec = Flow(shape, prior, bijection, classes), image_spec(shape, labelled=classes > 0)
    return from_linen(module, spec, classes={"label": classes} if classes else {})


def flattened(shape: Shape, *layers: Bijection) -> Bijection:
    """Layers over [B, D], for x of any shape."""
    return Chain((Flatten(shape), *layers))
