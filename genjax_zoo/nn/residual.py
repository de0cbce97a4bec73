"""Residual blocks."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.nn.image import Conv
from genjax_zoo.nn.norm import batch_norm


class ResidualBlock(nn.Module):
    """x + conv1x1(relu(conv3x3(relu(x)))) (van den Oord et al. 2017, sec. 4.1)."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, C] -> the same."""
        hidden = Conv(self.features, name="conv")(nn.relu(x))
        return x + nn.Dense(x.shape[-1], name="out")(nn.relu(hidden))


class GatedBlocks(nn.Module):
    """Residual blocks: twice ELU, convolution, batch norm; then dropout, and a gate on what is added."""

    count: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, key: jax.Array) -> jax.Array:
        """[B, H, W, C] -> the same; the key is of the dropout."""
        for block in range(self.count):
            hidden = x
            for half in range(2):
                make = partial(Conv, x.shape[-1], name=f"conv_{block}_{half}")
                hidden = batch_norm(make, nn.elu(hidden), train)
            drop = nn.Dropout(self.dropout, deterministic=not train, name=f"drop_{block}")
            hidden = drop(hidden, rng=jax.random.fold_in(key, block))
            gated = nn.Dense(2 * x.shape[-1], name=f"gate_{block}")(nn.elu(hidden))
            value, gate = jnp.split(gated, 2, axis=-1)
            x = x + value * nn.sigmoid(gate)
        return x
