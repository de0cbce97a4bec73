"""One image file as uint8 pixels, as it is meant to be seen."""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from genjax_zoo.errors import UserError

GREY = {"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"}  # Pillow's modes of one colour


def open_image(content: bytes, name: str) -> Any:
    """An image whose pixels are not read yet.

    Raises:
        UserError: it is no image, or larger than Pillow reads.
    """
    from PIL import Image

    with _named(name, "is no image that can be read; remove it or save it again"):
        return Image.open(io.BytesIO(content))


def frames(image: Any, name: str) -> int:
    """How many pictures a file holds; of a photo with smaller copies of itself (MPO), one."""
    with _named(name, "is truncated or corrupt"):
        return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)


def decode(
    content: bytes, name: str, colour: bool, size: int | None = None, *, seen: Callable[[Any], Any] | None = None
) -> np.ndarray:
    """One image as uint8 [H, W, 3], or [H, W, 1] if not `colour`; of several frames the first.

    Args:
        content: of the file.
        name: said where it cannot be read.
        colour: whether to give three channels.
        size: crops the middle square and resizes it to size x size.
        seen: what is done to the image first; by default `as_seen`.

    Raises:
        UserError: it is truncated, corrupt or no image, larger than Pillow reads, or its white is not known.
    """
    image = open_image(content, name)
    with _named(name, "is truncated or corrupt"):
        image = (seen or as_seen)(image).convert("RGB" if colour else "L")
        if size is not None:
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            image = image.resize((size, size), box=(left, top, left + side, top + side))
        return np.asarray(image).reshape(image.height, image.width, -1)


def as_seen(image: Any) -> Any:
    """The image upright, on white where it is transparent, and in 8 bits: grey k / 65535, or floats in [0, 1].

    Raises:
        NotSeen: numbers of another range.
    """
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or (image.mode, image.format) == ("I", "PNG"):
        return Image.fromarray(((np.asarray(image).astype(np.int64) + 128) // 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        x = np.asarray(image)
        low, high = float(x.min()), float(x.max())
        if image.mode == "I" or not (0 <= low and high <= 1):  # NaN is no number in [0, 1] either
            raise NotSeen(
                f"holds numbers from {low:.4g} to {high:.4g}, whose white is not known; save it in 8 or 16 bits, or "
                f"as floats in [0, 1]"
            )
        return Image.fromarray(np.round(x * 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image


class NotSeen(UserError):
    """An image whose pixels have no known white."""


@contextlib.contextmanager
def _named(name: str, otherwise: str) -> Iterator[None]:
    """Names the file in what Pillow raises."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except NotSeen as error:
        raise UserError(f"{name} {error}.") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise UserError(f"{name} has more than {Image.MAX_IMAGE_PIXELS:,} pixels; save it smaller.") from None
    except Image.UnidentifiedImageError:
        raise UserError(f"{name} {otherwise}.") from None
    except Exception as error:  # Pillow raises nearly anything of a damaged file
        raise UserError(f"{name} {otherwise} ({error}).") from None
