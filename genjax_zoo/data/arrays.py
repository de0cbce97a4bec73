"""Arrays that are there already: a notebook's own, as data for `fit` and for evaluations."""

import numbers
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from genjax_zoo.data import transforms
from genjax_zoo.data.resident import Origin, Resident, Streamed, check_seed, not_finite
from genjax_zoo.data.transforms import Transform
from genjax_zoo.errors import UserError

RESIDENT_BYTES = 2**30  # larger splits stay with the host
LABELS = np.iinfo(np.int32)
REPAIR = "repair such examples, or leave them out"


def from_arrays(
    x: Any,
    *,
    batch_size: int,
    train: bool = True,
    seed: int = 0,
    transform: Transform | None = None,
    flip: bool = False,
    resident: bool | None = None,
    workers: int = 0,
    **conditions: Any,
) -> Resident | Streamed:
    """Data of one's own arrays: `from_arrays(images, label=labels, batch_size=64)`.

    What x becomes: uint8 is k / 255, as images are in files; all other integers, bools and floats become float32 with
    the values that they have. uint8 [N, H, W] are grey images [N, H, W, 1]. A condition of integers or bools becomes
    int32, one of floats float32.

    Args:
        x: [N, ...], NumPy's, JAX's, or what NumPy makes an array of; or a mapping of "x" and conditions.
        batch_size: examples in a batch, over all devices.
        train: reshuffled every epoch, without the last partial batch; else walked once, in order, and the last batch is
            filled, where `mask` is 0.
        seed: orders training examples and draws their noise.
        transform: in place of k / 255.
        flip: turns every second training image left to right, by chance.
        resident: on the device, or read ahead by the host; None puts up to 1 GiB on the device.
        workers: processes that read ahead, for data that is not resident.
        conditions: entries besides "x", [N, ...] each, such as label= or mel=; None is left out.

    Raises:
        UserError: no examples, arrays of different lengths, of no numbers, or with NaN or infinity; a training batch
            larger than the data.
    """
    given = {**x} if isinstance(x, Mapping) else {"x": x}
    if twice := sorted(given.keys() & conditions.keys()):
        raise UserError(f"'{twice[0]}' is given twice, in the mapping and by itself; leave one out.")
    given = {name: value for name, value in {**given, **conditions}.items() if value is not None}
    if "x" not in given:
        raise UserError(f"There is no 'x', but {sorted(given) or 'nothing'}; the examples are called x.")
    kept = {name: _numbers(name, value) for name, value in given.items()}
    kept["x"] = _example(kept["x"])
    stored = transforms.bits if np.asanyarray(given["x"]).dtype == bool else transforms.raw
    own = transform or (transforms.scale(256) if kept["x"].dtype == np.uint8 else stored)
    if flip and kept["x"].ndim != 4:
        raise UserError(f"Only images [H, W, C] can be flipped; x has shape {kept['x'].shape[1:]}.")
    return assemble(
        kept,
        transform=transforms.flipped(own) if flip and train else own,
        batch_size=batch_size,
        seed=seed,
        train=train,
        resident=resident,
        workers=workers,
    )


def assemble(
    arrays: Mapping[str, Any],
    *,
    transform: Transform,
    batch_size: int,
    seed: int,
    train: bool,
    resident: bool | None,
    workers: int,
    origin: Origin | None = None,
) -> Resident | Streamed:
    """Data of arrays as they are stored, on the device if they are small; see `from_arrays`."""
    for name, number in (("batch_size", batch_size), ("seed", seed), ("workers", workers)):
        if isinstance(number, bool) or not isinstance(number, numbers.Integral):
            raise UserError(f"{name} must be a whole number, not {number!r}.")
    check_seed(seed)  # of evaluation data, too
    size = sum(np.dtype(array.dtype).itemsize * np.prod(array.shape) for array in arrays.values())
    shared: dict[str, Any] = {
        "transform": transform,
        "batch_size": batch_size,
        "seed": seed if train else 0,
        "train": train,
        "origin": origin,
    }
    device = resident if resident is not None else size <= RESIDENT_BYTES
    known = arrays if device else {n: a for n, a in arrays.items() if type(a) is np.ndarray}  # not what a file holds
    if wrong := not_finite({name: np.asarray(array) for name, array in known.items() if len(array)}):
        raise UserError(f"The data are not finite: {wrong}; {REPAIR}.")
    if device:
        data = Resident(arrays={name: jnp.array(np.asarray(array)) for name, array in arrays.items()}, **shared)
    else:
        data = Streamed(arrays=arrays, workers=workers, **shared)
    data.check()
    return data


def _numbers(name: str, value: Any) -> np.ndarray:
    """An entry as it is stored: uint8 of x, else int32 or float32."""
    try:
        array = np.asanyarray(value)
    except Exception as error:  # of a ragged list, a key, another library's array
        raise UserError(f"'{name}' is no array of numbers ({' '.join(str(error).split())}).") from None
    floating, whole = jnp.issubdtype(array.dtype, jnp.floating), array.dtype.kind in "iub"
    if not (floating or whole):
        hint = "; number its classes by numpy.unique(..., return_inverse=True)[1]" if array.dtype.kind in "US" else ""
        raise UserError(f"'{name}' holds {array.dtype}, but numbers are needed: integers, bools or floats{hint}.")
    if array.ndim == 0 or 0 in array.shape:
        raise UserError(f"'{name}' of shape {array.shape} holds no examples; its first axis is theirs, [N, ...].")
    if np.ma.is_masked(array):
        raise UserError(f"'{name}' has masked values; fill them, or leave their examples out.")
    if whole and name == "x":
        return array if array.dtype == np.uint8 else np.asarray(array, np.float32)
    if whole:
        if array.min() < LABELS.min or array.max() > LABELS.max:
            raise UserError(f"'{name}' goes from {array.min()} to {array.max()}, but its integers become int32.")
        return np.asarray(array, np.int32)
    with np.errstate(over="ignore"):  # it becomes infinity, which is said
        return array.astype(np.float32, copy=False)


def _example(x: np.ndarray) -> np.ndarray:
    if x.ndim == 1:
        raise UserError(
            f"x of shape {x.shape} may be {len(x)} examples of one number, x[:, None], or one example of {len(x)}, "
            f"x[None]; give it as [N, ...]."
        )
    grey = x.dtype == np.uint8 and x.ndim == 3 and x.shape[2] > 1  # a sound is [N, T, 1]
    return x[..., None] if grey else x
