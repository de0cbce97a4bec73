"""Named image protocols: which examples, in which split, as which numbers.

    name           x                                     train / valid / test
    digits         k / 16, 17 grey levels, 8x8x1         1,297 / 250 / 250
    mnist          k / 255, 256 grey levels, 28x28x1     50,000 / 10,000 / 10,000
    mnist-dynamic  a fresh bit ~ Bernoulli(k / 255)      59,600 / 400 / 10,000, as in Burda et al. 2015;
                                                         valid and test are binarized once

Every set has the condition "label" to offer, int32 in 0 ... 9.
"""

import dataclasses
import difflib
import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo.data.idx import read_idx
from genjax_zoo.data.resident import Resident, Transform

Split = Mapping[str, np.ndarray]  # "x": uint8 [N, H, W, C], "label": int32 [N]
FOLDER = "GENJAX_ZOO_DATA"  # the environment variable that names the data folder; --data-dir sets it


def images(
    name: str,
    split: str,
    *,
    batch_size: int,
    seed: int = 0,
    conditions: tuple[str, ...] = (),
) -> Resident:
    """A named protocol's split, resident on the device.

    Args:
        name: a key of PROTOCOLS.
        split: "train" is reshuffled every epoch; "valid" and "test" are walked once, in order.
        batch_size: examples in a batch, over all devices.
        seed: orders the examples and draws their noise; evaluation splits have a seed of their own.
        conditions: entries to keep besides "x", such as "label".

    Raises:
        ValueError: an unknown name, split or condition; a batch larger than the training set; a broken file.
        FileNotFoundError: no data folder is known, or files are missing.
    """
    if name not in PROTOCOLS:
        near = difflib.get_close_matches(name, PROTOCOLS, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(PROTOCOLS)}."
        raise ValueError(f"Unknown data '{name}'; {hint}")
    protocol = PROTOCOLS[name]
    splits = protocol.read()
    if split not in splits:
        raise ValueError(f"Unknown split '{split}' of '{name}'; there are {', '.join(splits)}.")
    arrays = splits[split]
    unknown = sorted(set(conditions) - set(arrays))
    if unknown:
        raise ValueError(f"'{name}' has no condition '{unknown[0]}'; it offers {sorted(set(arrays) - {'x'})}.")
    if batch_size < 1 or (split == "train" and batch_size > len(arrays["x"])):
        raise ValueError(f"A batch of {batch_size} is not in 1 ... {len(arrays['x'])}, the size of '{name}' {split}.")
    return Resident(
        arrays={key: jnp.asarray(arrays[key]) for key in ("x", *conditions)},
        transform=protocol.transform,
        batch_size=min(batch_size, len(arrays["x"])),
        seed=seed if split == "train" else 0,
        train=split == "train",
    )


def _scale(levels: int) -> Transform:
    def transform(example, key):
        return {**example, "x": example["x"].astype(jnp.float32) / (levels - 1)}

    return transform


def _binarize(example, key):
    bits = jax.random.uniform(key, example["x"].shape) < example["x"].astype(jnp.float32) / 255
    return {**example, "x": bits.astype(jnp.float32)}


@functools.cache
def _digits() -> Mapping[str, Split]:
    """The 8x8 digits of scikit-learn, in an order drawn once; the first 1,297 train."""
    from sklearn.datasets import load_digits  # slow to import, so only here

    pixels, labels = load_digits(return_X_y=True)
    order = np.random.Generator(np.random.PCG64(0)).permutation(len(pixels))
    x, label = pixels[order].reshape(-1, 8, 8, 1).astype(np.uint8), labels[order].astype(np.int32)
    return _split({"x": x, "label": label}, train=1_297, valid=250, test=250)


def _mnist(valid: int) -> Mapping[str, Split]:
    return _read_mnist(_folder("mnist"), valid)


@functools.cache
def _read_mnist(folder: Path, valid: int) -> Mapping[str, Split]:
    parts = {}
    for part, prefix in (("train", "train"), ("test", "t10k")):
        x = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")
        label = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
        if x.ndim != 3 or label.shape != x.shape[:1]:
            raise ValueError(f"{folder}: {prefix} images {x.shape} and labels {label.shape} do not belong together.")
        parts[part] = {"x": x[..., None], "label": label.astype(np.int32)}
    return {**_split(parts["train"], train=len(parts["train"]["x"]) - valid, valid=valid), "test": parts["test"]}


def _folder(name: str) -> Path:
    root = os.environ.get(FOLDER)
    if not root:
        raise FileNotFoundError(
            f"'{name}' needs files: name the folder that holds {name}/ with --data-dir or {FOLDER}; "
            f"'digits' needs none."
        )
    folder = Path(root) / name
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}; --data-dir names the folder that holds {name}/.")
    return folder


def _split(arrays: Split, **sizes: int) -> dict[str, Split]:
    ends = np.cumsum(list(sizes.values()))
    return {
        name: {key: value[end - sizes[name] : end] for key, value in arrays.items()} for name, end in zip(sizes, ends)
    }


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Protocol:
    """What a name stands for: where the examples come from and what becomes of one."""

    read: Callable[[], Mapping[str, Split]]
    transform: Transform
    about: str


PROTOCOLS: Mapping[str, Protocol] = {
    "digits": Protocol(read=_digits, transform=_scale(17), about="8x8 digits of scikit-learn, k / 16: embedded"),
    "mnist": Protocol(
        read=functools.partial(_mnist, valid=10_000), transform=_scale(256), about="28x28 MNIST, k / 255"
    ),
    "mnist-dynamic": Protocol(
        read=functools.partial(_mnist, valid=400),
        transform=_binarize,
        about="28x28 MNIST, fresh bits at every use",
    ),
}
