"""Images as smaller ones with more channels, and back."""

import jax

from genjax_zoo.errors import UserError

Array = jax.Array


def squeeze(x: Array) -> Array:
    """Each 2x2 block becomes channels: [B, H, W, C] -> [B, H / 2, W / 2, 4 C] (Dinh et al. 2016, sec. 3.6).

    Raises:
        UserError: an odd height or width.
    """
    b, h, w, c = x.shape
    if h % 2 or w % 2:
        raise UserError(f"An image of {h}x{w} cannot be squeezed: both must be even; pad it, or use fewer scales.")
    return x.reshape(b, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(b, h // 2, w // 2, 4 * c)


def unsqueeze(x: Array) -> Array:
    """The inverse of `squeeze`: [B, H, W, 4 C] -> [B, 2 H, 2 W, C]."""
    b, h, w, c = x.shape
    return x.reshape(b, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5).reshape(b, 2 * h, 2 * w, c // 4)
