"""Image grids as PNG files, written whole or not at all."""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from genjax_zoo.draw.curves import save_curves
from genjax_zoo.draw.maps import save_map
from genjax_zoo.draw.sound import is_sound, save_spectrograms
from genjax_zoo.errors import UserError
from genjax_zoo.files import whole

SMALLEST = 32  # pixels; smaller images are enlarged to about this, so that one can see them


def grid(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Images [n, H, W, C] in [0, 1] side by side, as uint8 [rows * H, columns * W, C], white where one is missing.

    Raises:
        UserError: these are no images, or have neither 1 nor 3 channels.
    """
    if images.ndim != 4:
        raise UserError(f"Only images [H, W, C] can be drawn, not x of shape {images.shape[1:]}; write a .npy file.")
    n, height, width, channels = images.shape
    if channels not in (1, 3):
        raise UserError(f"Images need 1 or 3 channels to be drawn, not {channels}.")
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    pixels = np.round(np.clip(np.nan_to_num(images), 0, 1) * 255).astype(np.uint8)
    scale = max(1, SMALLEST // height)
    pixels = pixels.repeat(scale, 1).repeat(scale, 2)
    pixels = np.pad(pixels, ((0, rows * columns - n), (1, 1), (1, 1), (0, 0)), constant_values=255)
    tiles = pixels.reshape(rows, columns, *pixels.shape[1:])
    return tiles.swapaxes(1, 2).reshape(rows * tiles.shape[2], columns * tiles.shape[3], channels)


def save_grid(path: Path, images: Any, columns: int | None = None) -> None:
    """Writes images [n, H, W, C] in [0, 1] as one PNG."""
    pixels = grid(np.asarray(images), columns)
    with whole(path) as unfinished:
        Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(unfinished, format="PNG")


def save_samples(path: Path, x: Any) -> None:
    """Writes samples as one PNG: images [n, H, W, C] in a grid, points [n, 2], spectrograms of sounds [n, T, 1]."""
    if x.shape[1:] == (2,):
        save_map(path, x)
    elif is_sound(x.shape[1:]):
        save_spectrograms(path, x)
    else:
        save_grid(path, x)


class Pictures:
    """A sink that keeps the newest pictures and curves in the run folder, and all pictures in pictures/."""

    def __init__(self, folder: Path, *, every: float = 30.0):
        """Draws into `folder`; curves at most once in `every` seconds, and at the end."""
        self._folder = folder
        self._every = every
        self._drawn = time.monotonic()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        if time.monotonic() > self._drawn + self._every:
            self.close()

    def show(self, step: int, numbers: Mapping[str, float], images: Mapping[str, Any]) -> None:
        for name, stack in images.items():
            short = name.rpartition("/")[2]
            save_grid(self._folder / "pictures" / f"{short}-{step:07d}.png", stack)
            save_grid(self._folder / f"{short}.png", stack)

    def warn(self, step: int, sentence: str) -> None:
        """Nothing to draw."""

    def close(self) -> None:
        save_curves(self._folder / "metrics.jsonl", self._folder / "curves.png")
        self._drawn = time.monotonic()
