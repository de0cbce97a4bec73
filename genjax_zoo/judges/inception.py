"""InceptionV3 as FID means it: the network of 2015 whose features FID was defined by (Heusel et al. 2017).

The layers are of Szegedy et al. 2015 (arXiv:1512.00567); where that network differs from others of the name, it is
followed: average pools count no padding, the last block has a maximum pool instead, and images of any size are resized
to 299 x 299 bilinearly, in [-1, 1]. Names and layouts of weights are those of the file that all of FID's users share,

    pt_inception-2015-12-05-6726825d.pth, of the release "fid_weights" of github.com/mseitzer/pytorch-fid

which is not shipped here. With PyTorch installed it is read as it is; for machines without, convert it once:

    python -m genjax_zoo.judges.inception pt_inception-2015-12-05-6726825d.pth inception.npz
"""

import functools
import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo.core import Array
from genjax_zoo.errors import Missing, UserError
from genjax_zoo.files import named, whole

NAME = "inception-2015"  # of the extractor
SHA256 = "6726825d"  # what the published file's begins with, as its name says
WHERE = (
    "FID needs the published weights, pt_inception-2015-12-05-6726825d.pth of the release 'fid_weights' of "
    "github.com/mseitzer/pytorch-fid; name that file, or what 'python -m genjax_zoo.judges.inception FILE.pth "
    "FILE.npz' made of it"
)
SIZE, FEATURES, CLASSES = 299, 2_048, 1_008
PART = 10  # images at a time: 299 x 299 x 64 numbers each in the widest layer

Weights = Mapping[str, Array]  # by the published names; kernels are [out, in, height, width]

# layer -> output channels, kernel, and where they are not 1 and 0: stride, padding (height, width)
STEM = {
    "Conv2d_1a_3x3": (32, (3, 3), 2),
    "Conv2d_2a_3x3": (32, (3, 3)),
    "Conv2d_2b_3x3": (64, (3, 3), 1, (1, 1)),
    "Conv2d_3b_1x1": (80, (1, 1)),
    "Conv2d_4a_3x3": (192, (3, 3)),
}
_WIDE, _TALL = ((1, 7), 1, (0, 3)), ((7, 1), 1, (3, 0))
_ACROSS, _ALONG = ((1, 3), 1, (0, 1)), ((3, 1), 1, (1, 0))
_ONE, _THREE, _FIVE, _HALVED = ((1, 1),), ((3, 3), 1, (1, 1)), ((5, 5), 1, (2, 2)), ((3, 3), 2)


def _fine(pooled: int) -> dict:
    """The blocks at 35 x 35: four branches, of which the last is pooled."""
    return {
        "branch1x1": {"branch1x1": (64, *_ONE)},
        "branch5x5": {"branch5x5_1": (48, *_ONE), "branch5x5_2": (64, *_FIVE)},
        "branch3x3dbl": {
            "branch3x3dbl_1": (64, *_ONE),
            "branch3x3dbl_2": (96, *_THREE),
            "branch3x3dbl_3": (96, *_THREE),
        },
        "mean": {"branch_pool": (pooled, *_ONE)},
    }


def _middle(c: int) -> dict:
    """The blocks at 17 x 17, whose 7 x 7 kernels are factored."""
    return {
        "branch1x1": {"branch1x1": (192, *_ONE)},
        "branch7x7": {"branch7x7_1": (c, *_ONE), "branch7x7_2": (c, *_WIDE), "branch7x7_3": (192, *_TALL)},
        "branch7x7dbl": {
            "branch7x7dbl_1": (c, *_ONE),
            "branch7x7dbl_2": (c, *_TALL),
            "branch7x7dbl_3": (c, *_WIDE),
            "branch7x7dbl_4": (c, *_TALL),
            "branch7x7dbl_5": (192, *_WIDE),
        },
        "mean": {"branch_pool": (192, *_ONE)},
    }


def _coarse(pool: str) -> dict:
    """The blocks at 8 x 8; a pair of layers side by side is a tuple of names."""
    return {
        "branch1x1": {"branch1x1": (320, *_ONE)},
        "branch3x3": {
            "branch3x3_1": (384, *_ONE),
            ("branch3x3_2a", "branch3x3_2b"): ((384, *_ACROSS), (384, *_ALONG)),
        },
        "branch3x3dbl": {
            "branch3x3dbl_1": (448, *_ONE),
            "branch3x3dbl_2": (384, *_THREE),
            ("branch3x3dbl_3a", "branch3x3dbl_3b"): ((384, *_ACROSS), (384, *_ALONG)),
        },
        pool: {"branch_pool": (192, *_ONE)},
    }


BLOCKS = {
    "Mixed_5b": _fine(32),
    "Mixed_5c": _fine(64),
    "Mixed_5d": _fine(64),
    "Mixed_6a": {
        "branch3x3": {"branch3x3": (384, *_HALVED)},
        "branch3x3dbl": {
            "branch3x3dbl_1": (64, *_ONE),
            "branch3x3dbl_2": (96, *_THREE),
            "branch3x3dbl_3": (96, *_HALVED),
        },
        "halve": {},
    },
    "Mixed_6b": _middle(128),
    "Mixed_6c": _middle(160),
    "Mixed_6d": _middle(160),
    "Mixed_6e": _middle(192),
    "Mixed_7a": {
        "branch3x3": {"branch3x3_1": (192, *_ONE), "branch3x3_2": (320, *_HALVED)},
        "branch7x7x3": {
            "branch7x7x3_1": (192, *_ONE),
            "branch7x7x3_2": (192, *_WIDE),
            "branch7x7x3_3": (192, *_TALL),
            "branch7x7x3_4": (192, *_HALVED),
        },
        "halve": {},
    },
    "Mixed_7b": _coarse("mean"),
    "Mixed_7c": _coarse("most"),
}


def features(weights: Weights, x: Array) -> Array:
    """Images [B, H, W, 1 or 3] in [0, 1] -> the last average pool's features [B, 2048]."""
    return _in_parts(weights, jnp.broadcast_to(x, (*x.shape[:-1], 3)))


@jax.jit
def _in_parts(weights: Weights, x: Array) -> Array:
    return jax.lax.map(lambda one: network(weights, prepare(one[None]))[0], x, batch_size=PART)


def prepare(x: Array) -> Array:
    """Images in [0, 1] as the network sees them, [B, 299, 299, 3] in [-1, 1]."""
    return 2 * jax.image.resize(x, (len(x), SIZE, SIZE, x.shape[-1]), "bilinear", antialias=False) - 1


def network(weights: Weights, x: Array) -> Array:
    """The features [B, 2048] of prepared images, which may be of any size from 75 x 75 on."""
    for name, layer in STEM.items():
        x = _layer(weights, name, x, *layer)
        if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
            x = POOLS["halve"](x)
    for name, block in BLOCKS.items():
        x = _block(weights, name, x, block)
    return jnp.mean(x, axis=(1, 2))


def _block(weights: Weights, name: str, x: Array, block: dict) -> Array:
    """The branches' outputs, one behind the other."""
    outputs = []
    for branch, layers in block.items():
        y = POOLS[branch](x) if branch in POOLS else x
        for layer, settings in layers.items():
            pair = isinstance(layer, tuple)
            beside = zip(layer, settings) if pair else [(layer, settings)]
            y = jnp.concatenate([_layer(weights, f"{name}.{one}", y, *how) for one, how in beside], axis=-1)
        outputs.append(y)
    return jnp.concatenate(outputs, axis=-1)


def _layer(
    weights: Weights, name: str, x: Array, channels: int, kernel: tuple, stride: int = 1, pad: tuple = (0, 0)
) -> Array:
    """A convolution without bias, batch normalisation by its averages, and a rectifier."""
    del channels, kernel  # the weights have them
    y = jax.lax.conv_general_dilated(
        x,
        weights[f"{name}.conv.weight"].transpose(2, 3, 1, 0),  # XLA on CPU is a hundred times slower without, in loops
        (stride, stride),
        [(pad[0], pad[0]), (pad[1], pad[1])],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=jax.lax.Precision.HIGHEST,
    )
    scale = weights[f"{name}.bn.weight"] / jnp.sqrt(weights[f"{name}.bn.running_var"] + 1e-3)
    return jax.nn.relu((y - weights[f"{name}.bn.running_mean"]) * scale + weights[f"{name}.bn.bias"])


def _pooled(x: Array, operator, start: float, stride: int, pad: int) -> Array:
    edges = ((0, 0), (pad, pad), (pad, pad), (0, 0))
    return jax.lax.reduce_window(x, start, operator, (1, 3, 3, 1), (1, stride, stride, 1), edges)


def _mean_pool(x: Array) -> Array:
    """Means over 3 x 3, of what is not padding."""
    inside = jnp.ones((1, *x.shape[1:3], 1), x.dtype)
    return _pooled(x, jax.lax.add, 0.0, 1, 1) / _pooled(inside, jax.lax.add, 0.0, 1, 1)


POOLS = {
    "mean": _mean_pool,
    "most": functools.partial(_pooled, operator=jax.lax.max, start=-jnp.inf, stride=1, pad=1),
    "halve": functools.partial(_pooled, operator=jax.lax.max, start=-jnp.inf, stride=2, pad=0),
}


def shapes() -> dict[str, tuple[int, ...]]:
    """The published names and shapes of what `network` reads, and of the layer of classes above it."""
    found: dict[str, tuple[int, ...]] = {}

    def layer(name: str, inputs: int, channels: int, kernel: tuple, *_: object) -> int:
        found[f"{name}.conv.weight"] = (channels, inputs, *kernel)
        found.update({f"{name}.bn.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")})
        return channels

    width = 3
    for name, settings in STEM.items():
        width = layer(name, width, *settings)
    for name, block in BLOCKS.items():
        outputs = 0
        for layers in block.values():
            inner = width
            for one, settings in layers.items():
                pairs = zip(one, settings) if isinstance(one, tuple) else [(one, settings)]
                inner = sum([layer(f"{name}.{part}", inner, *how) for part, how in pairs])
            outputs += inner
        width = outputs
    return {**found, "fc.weight": (CLASSES, width), "fc.bias": (CLASSES,)}


def read(path: Path) -> Weights:
    """The weights of the published file, or of its conversion.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: it holds something else, or is the published file where PyTorch is not installed.
    """
    if not path.is_file():
        raise Missing(f"There is no file {path}. {WHERE}.")
    if path.suffix == ".npz":
        with (
            named(path, "is damaged; convert the published file again"),
            path.open("rb") as stream,
            np.load(stream) as file,
        ):
            arrays = {name: file[name] for name in file.files}
        if str(arrays.pop("sha256", ""))[:8] != SHA256:
            raise UserError(f"{path} was not converted from the published weights. {WHERE}.")
    else:
        arrays = _read_pth(path)
    wanted = shapes()
    wrong = [name for name, shape in wanted.items() if name not in arrays or arrays[name].shape != shape]
    if wrong:
        raise UserError(f"{path} has no '{wrong[0]}' of shape {wanted[wrong[0]]}. {WHERE}.")
    return {name: jnp.asarray(arrays[name], jnp.float32) for name in wanted if not name.startswith("fc.")}


def convert(path: Path, out: Path) -> None:
    """Writes the published file as .npz, which needs no PyTorch to be read.

    Raises:
        UserError: the file is another, or PyTorch is not installed.
    """
    arrays = _read_pth(path)
    with whole(out) as unfinished:
        np.savez(unfinished, sha256=np.array(_sha256(path)), **arrays)  # type: ignore[arg-type]


def _read_pth(path: Path) -> dict[str, np.ndarray]:
    if not _sha256(path).startswith(SHA256):
        raise UserError(f"{path} is not the published file, whose sha256 begins with {SHA256}. {WHERE}.")
    try:
        import torch  # type: ignore[import-not-found]
    except ModuleNotFoundError:
        raise UserError(
            f"Reading {path} needs PyTorch (pip install torch), here or where you convert it: "
            f"'python -m genjax_zoo.judges.inception {path} FILE.npz'."
        ) from None
    return {name: tensor.numpy() for name, tensor in torch.load(path, weights_only=True).items()}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
