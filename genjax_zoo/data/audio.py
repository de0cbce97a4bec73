"""Spoken digits (Jackson et al. 2018): 8 kHz recordings as windows of 256 mu-law codes, in the official split."""

import functools
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from genjax_zoo.data import builders, places, wav
from genjax_zoo.errors import UserError
from genjax_zoo.math import mu_law

CONTENT = "c8561bca57f668363317b9a5c554392cae37561fa99077368d9a9f32b9618584"  # sha256 of all samples, by file name
NAME = re.compile(r"(\d)_([a-z]+)_(\d+)\.wav")
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
SILENCE = 128


@functools.cache
def _codes() -> np.ndarray:
    """The mu-law code of every 16-bit sample, computed once in float64: the same on every machine."""
    return mu_law(np.arange(-(2**15), 2**15) / 2**15).astype(np.uint8)


def read_recordings() -> Mapping[str, np.ndarray]:
    """All recordings, by file name: from a folder or .zip of WAV files, the original archive, or TFDS.

    Raises:
        FileNotFoundError: they are nowhere, and cannot be downloaded.
        UserError: a file is broken, or they are not version 1.0.9.
    """
    for folder in places.places("spoken_digit", "spoken-digit"):
        for path in (folder, *sorted(folder.glob("*.zip"))):
            if found := wav.in_folder(path):
                return _checked(found, path)
    folder = builders.prepare("spoken_digit")
    found = {
        example["audio/filename"].decode(): np.asarray(example["audio"]).astype(np.int16)
        for example in builders.examples(folder, "train")
    }
    return _checked(found, folder)


def _checked(found: Mapping[str, np.ndarray], path: Path) -> Mapping[str, np.ndarray]:
    strange = sorted(name for name in found if not NAME.fullmatch(name))
    if strange:
        raise UserError(f"{path}: {strange[0]} is not named DIGIT_SPEAKER_INDEX.wav.")
    ordered = {name: found[name] for name in sorted(found)}
    total = hashlib.sha256()
    for name, samples in ordered.items():
        total.update(name.encode() + np.ascontiguousarray(samples).tobytes())
    if total.hexdigest() != CONTENT:
        raise UserError(
            f"{path} is not version 1.0.9 of the Free Spoken Digit Dataset (3,000 recordings, 10,498,424 samples): it "
            f"has {len(ordered):,} recordings of {sum(map(len, ordered.values())):,} samples."
        )
    return ordered


def read_spoken_digit(*, window: int = 4_096) -> Mapping[str, Mapping[str, np.ndarray]]:
    """Windows of recordings: x uint8 [N, window, 1], label, speaker and length int32 [N].

    A recording is cut into consecutive windows, the last one filled with silence; `length` counts its own samples, so
    that every sample is counted exactly once. Indices 0-4 of each digit and speaker are test, the others train.

    Raises:
        UserError: a window of no samples; see also `read_recordings`.
    """
    if window < 1:
        raise UserError(f"A window of {window} samples is too short; use 1 or more.")
    return _windows(window, tuple(str(root) for root in places.roots()))


@functools.cache
def _windows(window: int, roots: tuple[str, ...]) -> Mapping[str, Mapping[str, np.ndarray]]:
    rows: dict[str, list[tuple[np.ndarray, int, int, int]]] = {"train": [], "test": []}
    for name, samples in read_recordings().items():
        match = NAME.fullmatch(name)
        assert match is not None
        digit, speaker, index = int(match[1]), SPEAKERS.index(match[2]), int(match[3])
        codes = _codes()[samples.astype(np.int32) + 2**15]
        for start in range(0, len(codes), window):
            part = codes[start : start + window]
            filled = np.pad(part, (0, window - len(part)), constant_values=SILENCE)
            rows["test" if index < 5 else "train"].append((filled, digit, speaker, len(part)))
    return {
        split: {
            "x": np.stack([row[0] for row in found])[..., None],
            **{
                key: np.array([row[i] for row in found], np.int32)
                for i, key in enumerate(("label", "speaker", "length"), 1)
            },
        }
        for split, found in rows.items()
    }
