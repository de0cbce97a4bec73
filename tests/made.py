"""Files made for the tests of data: idx, images, WAV, archives."""

import gzip
import io
import struct
import tarfile

import numpy as np
from PIL import Image
from scipy.io import wavfile

RANDOM = np.random.default_rng(0)
SMALL = {
    split: {
        "x": RANDOM.integers(0, 256, (n, 28, 28, 1)).astype(np.uint8),
        "label": np.concatenate([np.arange(10), RANDOM.integers(0, 10, n - 10)]).astype(np.int32),
    }
    for split, n in (("train", 30), ("test", 10))
}
COLOUR = RANDOM.integers(0, 256, (4, 6, 5, 3)).astype(np.uint8)
TONE = (1_000 * np.sin(np.arange(400))).astype(np.int16)


def idx_bytes(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for split, prefix in (("train", "train"), ("test", "t10k")):
        x, label = SMALL[split]["x"][..., 0], SMALL[split]["label"].astype(np.uint8)
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(x)))
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(label)))


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def png(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def wav_bytes(samples, rate=8_000):
    stream = io.BytesIO()
    wavfile.write(stream, rate, samples)
    return stream.getvalue()


def write_tar(path, contents):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
