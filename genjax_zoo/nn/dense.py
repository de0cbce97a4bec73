"""Dense networks."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp


class MLP(nn.Module):
    """Dense layers with an activation between them; flattens [B, ...] to [B, D] first."""

    hidden: tuple[int, ...]
    features: int
    activation: Callable[[jax.Array], jax.Array] = nn.relu
    out_init: Callable[..., jax.Array] = nn.linear.default_kernel_init
    kernel_init: Callable[..., jax.Array] = nn.linear.default_kernel_init  # of the layers before the last

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """[B, ...] -> [B, features]."""
        x = x.reshape(x.shape[0], -1)
        for index, width in enumerate(self.hidden):
            x = nn.Dense(width, kernel_init=self.kernel_init, name=f"hidden_{index}")(x)
            x = self.activation(x)
        return nn.Dense(self.features, kernel_init=self.out_init, name="out")(x)


class GatedMLP(nn.Module):
    """An MLP whose layers are h * sigmoid(g), h and g linear (Dauphin et al. 2016, arXiv:1612.08083)."""

    hidden: tuple[int, ...]
    features: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """[B, ...] -> [B, features]."""
        x = x.reshape(x.shape[0], -1)
        for index, width in enumerate(self.hidden):
            x = nn.Dense(2 * width, name=f"hidden_{index}")(x)
            x = nn.glu(x)
        return nn.Dense(self.features, name="out")(x)


class MaxoutMLP(nn.Module):
    """Layers of the largest of `pieces` linear functions (Goodfellow et al. 2013, arXiv:1302.4389)."""

    hidden: tuple[int, ...]
    features: int
    pieces: int = 5
    kernel_init: Callable[..., jax.Array] = nn.linear.default_kernel_init

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """[B, ...] -> [B, features]."""
        x = x.reshape(x.shape[0], -1)
        for index, width in enumerate(self.hidden):
            x = nn.Dense(width * self.pieces, kernel_init=self.kernel_init, name=f"hidden_{index}")(x)
            x = jnp.max(x.reshape(-1, self.pieces, width), axis=1)
        return nn.Dense(self.features, kernel_init=self.kernel_init, name="out")(x)
