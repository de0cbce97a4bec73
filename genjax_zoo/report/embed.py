"""Pictures and sounds as data URIs, small enough to travel inside a page."""

import base64
import functools
import io
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from PIL import Image

from genjax_zoo.draw.sound import RATE, read_sound, waveform
from genjax_zoo.errors import UserError
from genjax_zoo.math import spectrogram

WIDEST = 1_200  # pixels of a picture's longer side
THUMB = 136  # pixels of a thumbnail's sides


class Embedded(NamedTuple):
    """A file inside a page."""

    uri: str
    width: int  # pixels; of a sound, its samples
    height: int  # pixels; of a sound, its channels


def embed_picture(path: Path) -> Embedded:
    """A picture file as a PNG in as few bytes as it takes.

    Raises:
        UserError: it is no picture, or a damaged one.
    """
    return _picture(path, *_identity(path))


def embed_thumbnail(path: Path) -> Embedded:
    """The upper left of a picture: a few tiles of a grid.

    Raises:
        UserError: it is no picture, or a damaged one.
    """
    image = _open(path)
    return _embedded(image.crop((0, 0, min(image.width, THUMB), min(image.height, THUMB))))


def embed_sound(path: Path) -> tuple[Embedded, Embedded]:
    """A WAV file as it is, and its spectrogram.

    Raises:
        UserError: it is no mono WAV file of 16 bits at 8 kHz.
    """
    return _sound(path, *_identity(path))


def _identity(path: Path) -> tuple[int, int]:
    """What changes when a file does, so that a page that is made again reads only what is new."""
    found = path.stat()
    return found.st_mtime_ns, found.st_size


@functools.lru_cache(maxsize=200)
def _picture(path: Path, changed: int, size: int) -> Embedded:
    return _embedded(_open(path))


@functools.lru_cache(maxsize=200)
def _sound(path: Path, changed: int, size: int) -> tuple[Embedded, Embedded]:
    from matplotlib import colormaps

    x = read_sound(path)
    decibels = np.asarray(spectrogram(jnp.asarray(waveform(x[None]))))[0, ::-1]  # low frequencies at the bottom
    image = Image.fromarray(np.uint8(255 * colormaps["magma"]((decibels + 80) / 80)[..., :3]))
    return Embedded(_uri("audio/wav", path.read_bytes()), len(x), 1), _embedded(image)


def seconds(sound: Embedded) -> float:
    """How long a sound lasts."""
    return sound.width / RATE


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError) as error:  # Pillow's PNG reader raises both
        raise UserError(f"{path.name} is no picture that can be read ({error}).") from None
    if max(image.size) > WIDEST:
        image = image.convert("RGB")
        image.thumbnail((WIDEST, WIDEST))
    return image


def _embedded(image: Image.Image) -> Embedded:
    """The smaller of two: greys or colours as they are, or 256 colours."""
    if image.mode not in ("1", "L", "RGB"):
        canvas = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(canvas, image.convert("RGBA")).convert("RGB")
    if image.mode == "RGB" and _is_grey(image):
        image = image.convert("L")
    choices = [_png(image)]
    if image.mode == "RGB":
        choices.append(_png(image.quantize(256)))
    elif image.mode == "L" and len(image.getcolors() or ()) <= 16:
        choices.append(_png(image.quantize(16)))  # lossless: two or four bits a pixel
    return Embedded(_uri("image/png", min(choices, key=len)), image.width, image.height)


def _is_grey(image: Image.Image) -> bool:
    red, green, blue = (np.asarray(band) for band in image.split())
    return bool(np.array_equal(red, green) and np.array_equal(green, blue))


def _png(image: Image.Image) -> bytes:
    written = io.BytesIO()
    image.save(written, format="PNG", optimize=True)
    return written.getvalue()


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
