"""Sound as WAV files and spectrograms, written whole or not at all.

Sound is x [n, T, 1], 256 mu-law codes as code / 255, at 8 kHz: what the protocol "spoken-digit" gives.
"""

import warnings
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from genjax_zoo.errors import UserError
from genjax_zoo.files import named, whole
from genjax_zoo.math import mu_law, mu_law_inverse, spectrogram

RATE = 8_000  # samples per second


def is_sound(shape: tuple[int, ...]) -> bool:
    """Whether an example of this shape is a sound [T, 1]."""
    return len(shape) == 2 and shape[1] == 1


def waveform(x: Any) -> np.ndarray:
    """Sound x [..., T, 1] as amplitudes in [-1, 1], float64 [..., T]."""
    return mu_law_inverse(np.round(np.asarray(x, np.float64)[..., 0] * 255))


def save_sound(path: Path, x: Any) -> None:
    """Writes one sound [T, 1] as a mono WAV file of 16 bits."""
    from scipy.io import wavfile

    samples = np.clip(np.round(waveform(x) * 2**15), -(2**15), 2**15 - 1).astype(np.int16)
    with whole(path) as unfinished:
        wavfile.write(unfinished, RATE, samples)


def read_sound(path: Path) -> np.ndarray:
    """A mono WAV file of 16 bits at 8 kHz as x [T, 1], float32.

    Raises:
        UserError: it is no such file.
    """
    from scipy.io import wavfile

    with named(path, "is no WAV file"), warnings.catch_warnings():
        warnings.simplefilter("ignore", wavfile.WavFileWarning)  # of chunks that hold a title, say
        warnings.filterwarnings("error", "Reached EOF", wavfile.WavFileWarning)
        rate, samples = wavfile.read(path)
    if rate != RATE or samples.ndim != 1 or samples.dtype != np.int16:
        kind = f"{samples.dtype} at {rate} Hz, {samples.size // max(1, len(samples))} channel(s)"
        raise UserError(f"{path} holds {kind}; convert it to one channel of 16 bits at {RATE} Hz.")
    return (mu_law(samples.astype(np.float64) / 2**15) / 255).astype(np.float32)[:, None]


def save_spectrograms(path: Path, x: Any) -> None:
    """Draws sounds [n, T, 1] as one PNG: a panel each, seconds to the right, kHz upwards, 80 dB from dark to light."""
    from matplotlib.figure import Figure  # slow to import; a Figure of its own leaves the user's pyplot alone

    n, seconds = len(x), x.shape[1] / RATE
    columns = min(4, n)
    rows = -(-n // columns)
    width, height = 3.0 * columns, 1.7 * rows + 0.3  # inches
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    figure.subplots_adjust(0.45 / width, 0.45 / height, 1 - 0.1 / width, 1 - 0.1 / height, wspace=0.08, hspace=0.12)
    for axis, decibels in zip(axes.ravel(), np.asarray(spectrogram(jnp.asarray(waveform(x))))):
        axis.imshow(decibels, vmin=-80, vmax=0, origin="lower", aspect="auto", extent=(0, seconds, 0, RATE / 2_000))
    for axis in axes.ravel()[n:]:
        axis.set_visible(False)
    for axis in axes.ravel():
        axis.tick_params(labelsize=7)
    axes[-1, 0].set_xlabel("s", fontsize=8)
    axes[-1, 0].set_ylabel("kHz", fontsize=8)
    with whole(path) as unfinished:
        figure.savefig(unfinished, format="png", dpi=100)
