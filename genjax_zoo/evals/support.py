"""What a likelihood is of, by the data and by the model, and its bits: one place for `train`, `eval` and `compare`."""

import math
import re
from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from genjax_zoo.core import Array, Batch, Data, Model, TermFn, formulas
from genjax_zoo.data import Support

BETWEEN = 1 / math.pi  # no level of any number of levels that data have
FINER = 512  # times as many levels are looked for
OURS = re.compile(r"nll|distortion|rate(_\d+)?|prior|log_det|logit|scale|dequantization")  # terms of shipped models
DENSITIES = {"log_det", "logit", "scale"}  # terms of a change of variables
BOUNDS = ({"nll"}, {"distortion", "rate"}, {"distortion", "rate_1"}, {"prior", "log_det"})


def levels_of_model(model: Model, levels: int) -> int | None:
    """How many levels a model's likelihood is of: it refuses what lies between. None where it does not say.

    Args:
        model: says it by its conditionals, or by refusing numbers between its levels.
        levels: of the data, 2 or more, or of which there is no better guess.

    Returns:
        Those of the model; 0 where it does not take the data's.
    """
    if model.conditionals is not None:
        return model.conditionals.levels
    if _takes(model, BETWEEN):
        return None
    if not all(_takes(model, k / (levels - 1)) for k in range(min(levels, 3))):
        return 0
    finer = (times for times in range(FINER, 1, -1) if _takes(model, 1 / (times * (levels - 1))))
    return next(finer, 1) * (levels - 1) + 1


def _takes(model: Model, value: float) -> bool:
    """Whether a model has a likelihood of an x that is this value everywhere."""
    try:
        with jax.ensure_compile_time_eval():
            model.check({"x": np.full((1, *model.spec["x"].shape), value, np.float32)})
    except ValueError:
        return False
    return True


def support_of(model: Model, terms: Any, data: Data) -> Support:
    """What the numbers of a likelihood are of.

    Args:
        model: has the likelihood.
        terms: the names of its terms.
        data: what it is of; those that `data.load` gave say what a likelihood of them is of.

    Raises:
        ValueError: the model's is of another support: of other levels, of levels where the data have a density, or a
            density where they have levels.
    """
    known: Support | None = getattr(data, "support", None)
    own = levels_of_model(model, known.levels if known and known.levels else 256)
    if known is None:
        return Support(levels=own)
    if own is not None and (known.levels is None or known.noisy):
        raise ValueError("the model's likelihood is a probability of levels, where these data have a density")
    if known.levels is None or known.noisy:
        return known
    density = DENSITIES & set(terms) or getattr(model.check, "likelihood", None) is not None
    if own is None and density and "dequantization" not in terms:
        raise ValueError(
            f"the model's likelihood is a density, where these data have {known.levels} levels; wrap the model by "
            f"wrap.dequantized(model, levels={known.levels})"
        )
    if own is not None and own != known.levels:
        of = f"of {own} levels" if own else "of other levels"
        raise ValueError(
            f"the model's likelihood is {of}, where these data have {known.levels}; build it with levels={known.levels}"
        )
    return known if own else Support(levels=None, unsaid=known.levels)


def counted(terms_of: TermFn, names: Collection[str]) -> tuple[list[str], list[str]]:
    """The terms that make up -log p(x), and strangers among them, which a user has added to `nll` or `nelbo`.

    Args:
        terms_of: says its own in `formulas`; the names that shipped models give to a whole likelihood are known, too.
            Where there are neither, all terms count.
        names: of its terms.
    """
    own = formulas(terms_of)
    if not any(whole and whole <= set(names) for whole in (set(own), *BOUNDS)):
        return list(names), []
    kept = [name for name in names if name in own or OURS.fullmatch(name)]
    return kept, [name for name in names if name not in kept]


def stranger_said(names: Collection[str]) -> str:
    """The sentence about strangers."""
    named = ", ".join(f"'{name}'" for name in names)
    return (
        f"{named} is no term of the model's likelihood, and does not enter it; give it to a player's terms instead, "
        f"or name it in the `formulas` of the model if it is one."
    )


def numbers_of(batch: Batch) -> Array:
    """How many numbers of each example are its own, float [B]: sequences [T, C] with "length", int [B], are padded."""
    x = batch["x"]
    if _padded(batch):
        return batch["length"].astype(jnp.float32) * x.shape[-1]
    return jnp.full(len(x), float(math.prod(x.shape[1:])))


def _padded(batch: Batch) -> bool:
    x, length = batch["x"], batch.get("length")
    return x.ndim == 3 and length is not None and length.ndim == 1 and jnp.issubdtype(length.dtype, jnp.integer)


def check_padding(nats_of: Callable[[Batch], Any], batch: Batch) -> None:
    """Checks that no padding is scored: other samples behind an example's own change nothing.

    Args:
        nats_of: gives nats of a batch.
        batch: may have "length", with x [B, T, C].

    Raises:
        ValueError: they change something.
    """
    if isinstance(batch["x"], Tracer) or not _padded(batch):
        return
    x = batch["x"]
    own = jnp.arange(x.shape[1])[None, :, None] < batch["length"][:, None, None]
    one, two = (np.asarray(nats_of(given)) for given in (batch, {**batch, "x": jnp.where(own, x, 1 - x)}))
    if not np.allclose(one, two, rtol=1e-4):
        raise ValueError(
            "the likelihood counts the padding behind an example's own samples; let the model's terms count the first "
            "'length' samples of the batch"
        )
