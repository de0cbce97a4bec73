"""Bits per sample that FLAC and xz take for the recordings a WaveNet is tested on: the same mu-law codes of 8 bits.

    GENJAX_ZOO_DATA=FOLDER python benchmarks/sound_codecs.py --json FILE

Compare with "test/bits/sample" of experiments/wavenet_spoken_digit.py. Both codecs get all recordings as one file,
which helps them: no headers, and a history. FLAC (soundfile, of the extra `peers`) takes the codes as signed samples of
8 bits; it predicts linearly, which mu-law bends, so it is also given the 16-bit samples that the codes stand for.
"""

import io
import json
import lzma
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
import tyro

from genjax_zoo import data
from genjax_zoo.math import mu_law_inverse


def recordings(split: str) -> np.ndarray:
    """All samples of a split as mu-law codes, uint8 [N], without the silence that fills last windows."""
    source = data.load("spoken-digit", split, batch_size=16, conditions=("length",))
    parts = []
    for step in range(source.batches):
        batch, mask = jax.device_get(source.at(step)), np.asarray(source.mask(step))
        codes = np.round(255 * batch["x"][..., 0]).astype(np.uint8)
        parts += [row[:length] for row, length, own in zip(codes, batch["length"], mask) if own]
    return np.concatenate(parts)


def flac(samples: np.ndarray, subtype: str) -> int:
    """Bytes of a FLAC file at the highest compression."""
    import soundfile  # type: ignore

    file = io.BytesIO()
    soundfile.write(file, samples, 8_000, format="FLAC", subtype=subtype, compression_level=1.0)
    return len(file.getvalue())


def main(json_file: Path | None = None) -> None:
    """Prints bits per sample of each codec.

    Args:
        json_file: where to write the rows, too.
    """
    codes = recordings("test")
    signed = (codes.astype(np.int16) - 128) * 256  # FLAC drops the lower byte of 8-bit samples
    linear = np.round(32_767 * np.asarray(mu_law_inverse(codes.astype(np.float32)))).astype(np.int16)
    counts = np.bincount(codes, minlength=256) / len(codes)
    sizes: Mapping[str, float] = {
        "flac of the codes": flac(signed, "PCM_S8"),
        "flac of the decoded samples": flac(linear, "PCM_16"),
        "xz -9e of the codes": len(lzma.compress(codes.tobytes(), preset=9 | lzma.PRESET_EXTREME)),
        "their entropy, each by itself": -len(codes) * float(np.sum(counts * np.log2(counts + 1e-12))) / 8,
    }
    rows = [{"name": name, "bits_per_sample": 8 * size / len(codes)} for name, size in sizes.items()]
    print(f"{len(codes):,} samples of the test recordings")
    for row in rows:
        print(f"{row['name']:32} {row['bits_per_sample']:.3f} bits/sample")
    if json_file is not None:
        json_file.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
