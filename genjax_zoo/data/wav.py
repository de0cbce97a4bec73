"""Recordings as 16-bit samples, from WAV files in a folder, a .zip or an archive."""

import io
import tarfile
import warnings
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from genjax_zoo.data.listing import Listing
from genjax_zoo.errors import UserError


def read_wav(content: bytes, name: str, rate: int = 8_000) -> np.ndarray:
    """The samples of a mono 16-bit WAV file, int16 [T].

    Raises:
        UserError: it is truncated, no WAV file, or of another rate or kind.
    """
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # SciPy only warns of a truncated file
            found, samples = wavfile.read(io.BytesIO(content))
    except Exception as error:  # SciPy raises nearly anything of wrong sizes: struct.error, OverflowError, TypeError
        raise UserError(f"{name} is truncated or no WAV file ({error}).") from None
    if not samples.size:
        raise UserError(f"{name} holds no samples.")
    if found != rate:
        raise UserError(f"{name} has {found:,} samples per second; {rate:,} are needed: resample it.")
    if samples.dtype != np.int16 or samples.ndim != 1:
        raise UserError(f"{name} holds {samples.dtype} {samples.shape}; mono 16-bit samples are needed.")
    return samples


def in_folder(path: Path) -> Mapping[str, np.ndarray]:
    """The recordings in a folder or .zip, by file name; empty where there are none."""
    listing = Listing(path)
    names = listing.of_kind({".wav"})
    return {PurePosixPath(name).name: read_wav(listing.read(name), f"{path}: {name}") for name in names}


def in_archive(path: Path) -> Mapping[str, np.ndarray]:
    """The recordings in the folder "recordings" of a .tar.gz, by file name.

    Raises:
        UserError: it is truncated or corrupt.
    """
    found = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.name.endswith(".wav") and "/recordings/" in member.name:
                    stream = archive.extractfile(member)
                    assert stream is not None
                    found[PurePosixPath(member.name).name] = read_wav(stream.read(), f"{path}: {member.name}")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UserError(f"{path} is truncated or corrupt ({error}); download it again.") from None
    return found
