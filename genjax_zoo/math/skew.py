"""Images with every row moved one column further than the row above, so that diagonals become columns; and back."""

import jax
import jax.numpy as jnp

Array = jax.Array


def skew(x: Array) -> Array:
    """Row i moves right by i, zeros around it: [..., H, W, C] -> [..., H, H + W - 1, C].

    Column d holds the diagonal i + j = d (van den Oord et al. 2016, arXiv:1601.06759, sec. 3.2).
    """
    *batch, h, w, c = x.shape
    padded = jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, h), (0, 0)])  # rows of H + W, one longer than those that come
    flat = padded.reshape(*batch, h * (h + w), c)[..., : h * (h + w - 1), :]
    return flat.reshape(*batch, h, h + w - 1, c)


def unskew(x: Array) -> Array:
    """The inverse of `skew`: [..., H, H + W - 1, C] -> [..., H, W, C]."""
    *batch, h, wide, c = x.shape
    flat = jnp.pad(x.reshape(*batch, h * wide, c), [(0, 0)] * len(batch) + [(0, h), (0, 0)])
    return flat.reshape(*batch, h, wide + 1, c)[..., : wide - h + 1, :]
