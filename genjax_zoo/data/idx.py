"""Reading idx files, the format of MNIST and its relatives (big-endian; LeCun et al. 1998)."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from genjax_zoo.errors import Missing, UserError

UNSIGNED_BYTES = 0x08
GZIP = b"\x1f\x8b"


def found_idx(folder: Path, name: str) -> Path | None:
    """A file "train-images-idx3-ubyte.gz" of a folder, also unpacked, or with a dot in its name; None if it has none.

    Where several are there, the packed one counts, as it is the original.
    """
    dotted = name.replace("-idx", ".idx")
    candidates = [folder / one for packed in (name, dotted) for one in (packed, packed.removesuffix(".gz"))]
    return next((path for path in candidates if path.is_file()), None)


def read_idx(path: Path) -> np.ndarray:
    """Reads a gzipped or plain idx file of unsigned bytes.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: it is truncated, corrupt, or no idx file of unsigned bytes.
    """
    try:
        raw = path.read_bytes()
        packed = raw[:2] == GZIP or (path.suffix == ".gz" and raw[:3] != b"\0\0\x08")  # browsers unpack some
        content = gzip.decompress(raw) if packed else raw
    except FileNotFoundError:
        raise Missing(f"There is no {path}; put the set's original files into {path.parent}.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is truncated or corrupt ({error}); download it again.") from None
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != UNSIGNED_BYTES or not content[3]:
        raise UserError(f"{path} is no idx file of unsigned bytes: it begins with {content[:4].hex(' ') or 'nothing'}.")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise UserError(f"{path} is truncated inside its header; download it again.")
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise UserError(
            f"{path} should hold {math.prod(shape):,} bytes for shape {shape}, but has {len(content) - start:,}; "
            f"download it again."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
