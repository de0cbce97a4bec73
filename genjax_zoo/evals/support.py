"""What a likelihood is of, by the data and by the model, and its bits: one place for `train`, `eval` and `compare`."""

import math
from collections.abc import Callable, Collection
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from genjax_zoo.core import Array, Batch, Data, Model, TermFn, likelihood_names, stated_support, unit_of
from genjax_zoo.data import Support
from genjax_zoo.errors import UserError


def support_of(model: Model, data: Data) -> Support:
    """What the numbers of a likelihood are of.

    Args:
        model: has the likelihood, and states what it is of.
        data: what it is of; those that `data.load` gave say what a likelihood of them is of.

    Raises:
        UserError: the model's is of another support: of other levels, of levels where the data have a density, or a
            density where they have levels.
    """
    known: Support | None = getattr(data, "support", None)
    said = stated_support(model)
    (own,) = said or (None,)
    if known is None:
        return Support(levels=own)
    if own is not None and (known.levels is None or known.noisy):
        raise UserError("the model's likelihood is a probability of levels, where these data have a density")
    if known.levels is None or known.noisy:
        return known
    if said is None:
        return Support(levels=None, unsaid=known.levels)
    if own is None:
        raise UserError(
            f"the model's likelihood is a density, where these data have {known.levels} levels; wrap the model by "
            f"wrap.dequantized(model, levels={known.levels})"
        )
    if own != known.levels:
        raise UserError(
            f"the model's likelihood is of {own} levels, where these data have {known.levels}; "
            f"build it with levels={known.levels}"
        )
    return known


def counted_terms(terms_of: TermFn, names: Collection[str]) -> tuple[list[str], list[str]]:
    """The terms that make up -log p(x), and strangers among them, whose unit is not said.

    Args:
        terms_of: says its terms' units: those in nats count. Where it says none, all count.
        names: of its terms.
    """
    counting = likelihood_names(terms_of, names)
    return counting, [name for name in names if name not in counting and unit_of(terms_of, name) is None]


def stranger_sentence(names: Collection[str]) -> str:
    """The sentence about strangers."""
    named = ", ".join(f"'{name}'" for name in names)
    return (
        f"{named} is no term of the model's likelihood, and does not enter it; give it to a player's terms instead, "
        f"or name it in the `formulas` of the model if it is one."
    )


def unit(model: Model, name: str) -> str:
    """The unit to print behind a number: that of a likelihood, or of one of its terms, which say theirs."""
    density, last = model.density, name.rpartition("/")[2]
    nats = density is not None and (last == density.name or density.terms.units.get(last) == "nats")
    return " nats" if nats else ""


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
        UserError: they change something.
    """
    if isinstance(batch["x"], Tracer) or not _padded(batch):
        return
    x = batch["x"]
    own = jnp.arange(x.shape[1])[None, :, None] < batch["length"][:, None, None]
    one, two = (np.asarray(nats_of(given)) for given in (batch, {**batch, "x": jnp.where(own, x, 1 - x)}))
    if not np.allclose(one, two, rtol=1e-4):
        raise UserError(
            "the likelihood counts the padding behind an example's own samples; let the model's terms count the first "
            "'length' samples of the batch"
        )
