"""Named protocols: which examples, in which split, as which numbers; `genjax-zoo list data` prints their cards."""

import dataclasses
import difflib
import functools
import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genjax_zoo.data import record, transforms
from genjax_zoo.data.arrays import assemble
from genjax_zoo.data.audio import read_spoken_digit
from genjax_zoo.data.builders import is_known, read_tfds
from genjax_zoo.data.files import Split, holds_data, read_files
from genjax_zoo.data.mnist import read_mnist, read_stacked, read_static
from genjax_zoo.data.places import folder, roots
from genjax_zoo.data.points import read_points
from genjax_zoo.data.resident import Origin, Resident, Streamed, title_of
from genjax_zoo.data.transforms import Transform
from genjax_zoo.errors import Missing, UserError


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Protocol:
    """What a name stands for: where the examples come from, what becomes of one, and its card."""

    read: Callable[..., Mapping[str, Split]]  # its keyword arguments are options of `load`
    transform: Transform
    splits: Mapping[str, int]
    shape: tuple[int, ...]
    x: str  # the preprocessing formula of one number
    likelihood: str  # the unit that a likelihood of x is in
    source: str
    licence: str
    conditions: tuple[str, ...] = ("label",)
    levels: int | None = None  # that x has; None where a likelihood of x is a density
    path: str | None = None  # of a user's own files

    @property
    def about(self) -> str:
        """One line."""
        return f"{'x'.join(map(str, self.shape))}; {self.x}"

    def card(self) -> Mapping[str, str]:
        """Title -> text."""
        return {
            "x": f"float32 {'x'.join(map(str, self.shape))}; {self.x}",
            "splits": ", ".join(f"{name} {n:,}" for name, n in self.splits.items()),
            "conditions": ", ".join(self.conditions) or "none",
            "likelihood": self.likelihood,
            "source": self.source,
            "licence": self.licence,
        }


def load(
    name: str | Path,
    split: str,
    *,
    batch_size: int,
    seed: int = 0,
    conditions: tuple[str, ...] = (),
    transform: Transform | None = None,
    flip: bool = False,
    resident: bool | None = None,
    workers: int = 0,
    **options: Any,
) -> Resident | Streamed:
    """A split of a named protocol, of a user's own files, or of any image set that TFDS knows.

    Args:
        name: a key of PROTOCOLS; else a path, or a sub-folder of the data folder (see `data.files`); else a TFDS name.
        split: "train" is reshuffled every epoch; "valid" and "test" are walked once, in order.
        batch_size: examples in a batch, over all devices.
        seed: orders the examples and draws their noise; evaluation splits have a seed of their own.
        conditions: entries to keep besides "x", such as "label"; "length" always is, which tells padding.
        transform: replaces the protocol's own, such as `data.logit(0.05)`.
        flip: turns every second training image left to right, by chance.
        resident: on the device, or read ahead by the host; None puts splits of up to 1 GiB on the device.
        workers: processes that read ahead, for data that is not resident.
        options: the protocol's own, such as window=8_192 of "spoken-digit", or size=64 of images.

    Raises:
        UserError: an unknown name, split, condition or option; a batch larger than the training set; a broken file.
        FileNotFoundError: files are missing, and cannot be downloaded.
    """
    try:
        protocol, arrays = _arrays(name, split, conditions, batch_size, options)
    except (FileNotFoundError, UserError) as error:
        arrays, path = record.describe_absent(title_of(name, options), split, error), record.known_path(str(name))
        protocol = dataclasses.replace(PROTOCOLS.get(str(name), OWN), path=str(path) if path else None)
    if flip and len(arrays["x"].shape) != 4:
        raise UserError(f"Only images [H, W, C] can be flipped; x of '{name}' has shape {arrays['x'].shape[1:]}.")
    train, own = split == "train", transform or _transform(protocol, arrays["x"])
    padded = ("length",) if "length" in protocol.conditions and "length" in arrays else ()  # is nowhere scored
    kept = {entry: arrays[entry] for entry in dict.fromkeys(("x", *conditions, *padded))}
    shared: dict[str, Any] = {
        "transform": transforms.flipped(own) if flip and train else own,
        "batch_size": min(batch_size, len(arrays["x"])),
        "train": train,
        "origin": Origin(str(name), tuple(sorted(options.items())), transform, folder(), protocol.path),
    }
    if isinstance(kept["x"], record.Gone):
        return record.absent_data(kept, split, seed=seed if train else 0, **shared)
    return record.note(assemble(kept, seed=seed, resident=resident, workers=workers, **shared), split)


def reload(data: Any, split: str, *, batch_size: int, conditions: tuple[str, ...] = ()) -> Resident | Streamed:
    """Another split of the data that `load` gave, under the same protocol and options.

    Raises:
        UserError: data that `load` did not give, or with a transform of their own, which may be meant for training
            only; a split or condition that they do not have.
    """
    ours = (Resident, Streamed, record.Absent)  # a subclass may change x
    origin: Origin | None = data.origin if type(data) in ours else None
    if origin is None:
        raise UserError("Its data were built by hand, so no other split is known; take data.load(name, split, ...).")
    if origin.transform is not None:
        raise UserError(
            f"Its data '{origin.title}' have their own transform, so they are of no protocol: leave transform= out."
        )
    with record.look_in(origin.folder, record.Kept({"": {"name": origin.name, "path": origin.path}})):
        return load(origin.name, split, batch_size=batch_size, conditions=conditions, **dict(origin.options))


def _arrays(
    name: str | Path, split: str, conditions: tuple[str, ...], batch_size: int, options: Mapping[str, Any]
) -> tuple[Protocol, Split]:
    """The protocol of a name, and the arrays of a split that has what was asked of it."""
    protocol = PROTOCOLS.get(str(name)) or _own(name)
    _check_known(f"option of '{name}'", options, inspect.signature(protocol.read).parameters)
    splits = protocol.read(**options)
    _check_known(f"split of '{name}'", [split], splits)
    arrays = splits[split]
    _check_known(f"condition of '{name}' {split}", conditions, [entry for entry in arrays if entry != "x"])
    if batch_size < 1 or (split == "train" and batch_size > len(arrays["x"])):
        raise UserError(f"A batch of {batch_size} is not in 1 ... {len(arrays['x'])}, the size of '{name}' {split}.")
    return protocol, arrays


def _check_known(what: str, asked: Any, known: Any) -> None:
    for name in asked:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known) or 'none'}."
            raise UserError(f"Unknown {what}: '{name}'; {hint}")


def _own(name: str | Path) -> Protocol:
    """The user's files, or a set of TFDS."""
    before = record.known_path(str(name))
    candidates = [*([before] if before else []), Path(name).expanduser(), *(root / name for root in roots())]
    here = [p for p in candidates if p.exists() and not any(p.glob("**/dataset_info.json"))]
    if not here and before:
        raise Missing(f"The data '{name}' were read from {before}, where nothing is now; put them back.")
    if not here and not re.fullmatch(r"[a-z]\w*(/\w+)?(:[\d.]+)?", str(name)):
        raise Missing(f"There is no {name}; name a folder of images, a .zip or a .npy file.")
    near = difflib.get_close_matches(str(name), PROTOCOLS, 1, cutoff=0.75)
    if not here and near and not is_known(str(name)):
        raise UserError(f"Unknown data '{name}'; did you mean '{near[0]}'?")

    def read(*, size: int | None = None) -> Mapping[str, Split]:
        if here and (holds_data(here[0]) or not is_known(str(name))):
            return read_files(here[0], size)
        return read_tfds(str(name), size)

    return dataclasses.replace(OWN, read=read, path=str(here[0].absolute()) if here else None)


OWN = Protocol(read=dict, transform=transforms.raw, splits={}, shape=(), x="", likelihood="", source="", licence="")


def _transform(protocol: Protocol, x: Any) -> Transform:
    """The protocol's; for a user's own data k / 255 of bytes, and floats as they are."""
    own = protocol.splits == {} and x.dtype == np.uint8
    return transforms.scale(256) if own else protocol.transform


@functools.cache
def _digits() -> Mapping[str, Split]:
    """The 8x8 digits of scikit-learn, in an order drawn once; the first 1,297 train."""
    from sklearn.datasets import load_digits  # slow to import, so only here

    pixels, labels = load_digits(return_X_y=True)
    order = np.random.Generator(np.random.PCG64(0)).permutation(len(pixels))
    x, label = pixels[order].reshape(-1, 8, 8, 1).astype(np.uint8), labels[order].astype(np.int32)
    ends = {"train": slice(1_297), "valid": slice(1_297, 1_547), "test": slice(1_547, None)}
    return {split: {"x": x[part], "label": label[part]} for split, part in ends.items()}


def _mnist(x: str, likelihood: str, transform: Transform, valid: int = 10_000, levels: int | None = None) -> Protocol:
    return Protocol(
        read=lambda: read_mnist(valid),
        transform=transform,
        splits={"train": 60_000 - valid, "valid": valid, "test": 10_000},
        shape=(28, 28, 1),
        x=x,
        likelihood=likelihood,
        source="MNIST, LeCun et al. 1998; valid is the end of the training set",
        licence="CC BY-SA 3.0",
        levels=levels,
    )


def _points(name: str, about: str, entropy: str, source: str) -> Protocol:
    return Protocol(
        read=functools.partial(read_points, name),
        transform=transforms.continuous,
        splits={"train": 100_000, "valid": 10_000, "test": 10_000},
        shape=(2,),
        x=about,
        likelihood=f"density, nats; {entropy}",
        source=f"drawn here with fixed seeds, as {source}",
        licence="as this package",
    )


_PACGAN, _FFJORD = "Lin et al. 2018 (PacGAN)", "Grathwohl et al. 2019 (FFJORD)"
PROTOCOLS: Mapping[str, Protocol] = {
    "digits": Protocol(
        read=_digits,
        transform=transforms.scale(17),
        splits={"train": 1_297, "valid": 250, "test": 250},
        shape=(8, 8, 1),
        x="k / 16 of 17 grey levels",
        likelihood="discrete over 17 levels: nats per image, or bits/dim = nats / (64 log 2)",
        source="scikit-learn's load_digits (UCI Optical Recognition of Handwritten Digits): embedded, no files needed",
        licence="CC BY 4.0",
        levels=17,
    ),
    "mnist": _mnist(
        "k / 255 of 256 grey levels",
        "discrete over 256 levels: bits/dim = nats / (784 log 2)",
        transforms.scale(256),
        levels=256,
    ),
    "mnist-static": Protocol(
        read=read_static,
        transform=transforms.scale(2),
        splits={"train": 50_000, "valid": 10_000, "test": 10_000},
        shape=(28, 28, 1),
        x="fixed bits, drawn once as Bernoulli(k / 255)",
        likelihood="discrete over 2 levels: nats per image",
        source="Larochelle's binarization of MNIST (Salakhutdinov & Murray 2008; Larochelle & Murray 2011)",
        licence="CC BY-SA 3.0, as MNIST",
        conditions=(),
        levels=2,
    ),
    "mnist-dynamic": _mnist(
        "a fresh bit ~ Bernoulli(k / 255) at every use; those of valid and test are drawn once",
        "discrete over 2 levels: nats per image; not to be compared with mnist-static (Burda et al. 2015)",
        transforms.binarize,
        valid=400,
        levels=2,
    ),
    "mnist-deq": _mnist(
        "(k + u) / 256, u ~ U[0, 1) fresh at every use; those of valid and test are drawn once",
        "density of x in [0, 1), nats: a bound of bits/dim = 8 - log p / (784 log 2)",
        transforms.dequantize,
    ),
    "mnist-logit": _mnist(
        "logit(a + (1 - 2a) x), a = 1e-6, x as in mnist-deq",
        "density in logit space, nats, as MAF reports; add the mean log-Jacobian, 4619.9 on test, for that of x",
        transforms.logit(1e-6),
    ),
    "stacked-mnist": Protocol(
        read=read_stacked,
        transform=transforms.scale(256),
        splits={"train": 128_000, "test": 26_000},
        shape=(28, 28, 3),
        x="k / 255; three digits drawn with fixed seeds as red, green and blue; label in 0 ... 999",
        likelihood="discrete over 256 levels; its use is counting modes, of 1,000",
        source="MNIST, LeCun et al. 1998; as Lin et al. 2018 (PacGAN)",
        licence="CC BY-SA 3.0, as MNIST",
        levels=256,
    ),
    "grid25": _points("grid25", "25 Gaussians at {-4, -2, 0, 2, 4}^2, sigma 0.05", "entropy 0.0653", _PACGAN),
    "ring8": _points("ring8", "8 Gaussians on the unit circle, sigma 0.01", "entropy -4.2930", _PACGAN),
    "checkerboard": _points(
        "checkerboard", "uniform on 8 squares of 2 x 2 in [-4, 4]^2", "entropy log 32 = 3.4657", _FFJORD
    ),
    "two-moons": _points("two-moons", "half circles of radius 2, noise of sigma 0.2", "entropy 2.3939", _FFJORD),
    "spoken-digit": Protocol(
        read=read_spoken_digit,
        transform=transforms.scale(256),
        splits={"train": 3_378, "test": 377},
        shape=(4_096, 1),
        x="code / 255 of 256 mu-law codes of 8 kHz; silence after the end; window=4_096 is an option",
        likelihood="discrete over 256 levels: bits/sample = nats / (own samples, in length, times log 2)",
        source="Free Spoken Digit Dataset 1.0.9, Jackson et al. 2018; indices 0-4 are test",
        licence="CC BY-SA 4.0",
        conditions=("label", "speaker", "length"),
        levels=256,
    ),
    "cifar10": Protocol(
        read=lambda size=None: read_tfds("cifar10", size),
        transform=transforms.scale(256),
        splits={"train": 50_000, "test": 10_000},
        shape=(32, 32, 3),
        x="k / 255 of 256 levels",
        likelihood="discrete over 256 levels: bits/dim = nats / (3072 log 2)",
        source="CIFAR-10, Krizhevsky 2009, through TFDS; any other of its image sets goes by its TFDS name",
        licence="none stated",
        levels=256,
    ),
}
