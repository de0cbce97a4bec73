"""Pictures of a latent space, for any model with `decode`: what `genjax-zoo latent RUN` draws.

interpolation   each row goes from one example's latent, or one draw from the prior, to another
traversal       each row changes one number of a latent; the rows are the numbers that vary most over examples
classes         draws of a model that is given labels: a row is one latent, a column one label
labels          examples moved along the differences of labels' mean latents, or given another label
map             the plane in which examples' latents vary most, coloured by label
manifold        the decoded plane, where the latent is one
inversion       examples, and what the decoder makes of latents found by gradient, where nothing encodes
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo import draw
from genjax_zoo.core import Array, Batch, Data, Key, Latent, Model, Variables, conditions, part, require
from genjax_zoo.errors import UserError
from genjax_zoo.inference.latent import attribute, interpolate, invert, slerp, traverse

MOST_DIMENSIONS = 16  # rows of a traversal sheet, unless dimensions are named


def explore(
    model: Model,
    variables: Variables,
    examples: Batch,
    key: Key,
    *,
    n: int = 8,
    steps: int = 9,
    dimensions: Sequence[int] = (),
    span: float = 3.0,
    path: Callable[..., Array] = slerp,
) -> tuple[dict[str, Any], list[str]]:
    """The pictures that a model can be asked for.

    Args:
        model: has `decode`, and `encode` or `sample_prior`.
        variables: its own.
        examples: real ones, x [N, H, W, C] and the model's conditions; labels make more pictures.
        key: of draws from the prior.
        n: rows.
        steps: pictures in a row.
        dimensions: which to traverse.
        span: how far, in the prior's standard deviations.
        path: `slerp` or `lerp`.

    Returns:
        name -> (images [rows * columns, H, W, C], columns), or for "map" (points [N, 2], labels or None); and sentences
        about what could not be drawn.

    Raises:
        UserError: no `decode`, no images, fewer examples than 2 n, or no such dimension.
    """
    part(model, Latent, "decode")
    latent = require(model, Latent)
    if examples["x"].ndim != 4:
        raise UserError(f"A latent space is drawn in images [H, W, C], but x here is {examples['x'].shape[1:]}.")
    if len(examples["x"]) < 2 * n:
        raise UserError(f"{n} rows need {2 * n} examples, but there are {len(examples['x'])}; use a smaller -n.")
    decode = jax.jit(model.decode)
    pictures: dict[str, Any] = {}
    notes: list[str] = []
    cond = {name: value for name, value in conditions(examples).items() if name in model.spec}
    first = {name: value[:n] for name, value in cond.items()}
    codes = None
    if latent.encode is not None:
        codes = jax.jit(model.encode)(variables, examples, key)
        ends, varying = codes[: 2 * n], np.var(np.asarray(codes).reshape(len(codes), -1), axis=0)
    else:
        ends = model.sample_prior(variables, key, 2 * n, {name: value[: 2 * n] for name, value in cond.items()})
        varying = np.ones(ends[0].size)

    def strip(name: str, rows: Array) -> None:
        pictures[name] = (rows.reshape(-1, *rows.shape[2:]), rows.shape[1])

    chosen = dimensions or np.argsort(-varying, kind="stable")[:MOST_DIMENSIONS].tolist()
    one = {name: value[:1] for name, value in cond.items()}
    strip("traversal", traverse(model, variables, ends[0], dimensions=chosen, span=span, steps=steps, cond=one))
    strip("interpolation", interpolate(model, variables, ends[:n], ends[n:], steps=steps, path=path, cond=first))
    labels = np.unique(examples["label"]) if _are_classes(examples.get("label")) else np.zeros(0, int)
    if "label" in model.spec and len(labels) and latent.prior is not None:
        draws = jnp.repeat(model.sample_prior(variables, key, n, first), len(labels), axis=0)
        pictures["classes"] = (decode(variables, draws, _under_each(first, labels)), len(labels))
    if codes is None:
        starts = jnp.stack([model.sample_prior(variables, k, n, first) for k in jax.random.split(key, 4)])
        found, _ = invert(model, variables, examples["x"][:n], starts, steps=300, cond=first)
        strip("inversion", jnp.stack([examples["x"][:n], decode(variables, found, first)], axis=1))
        notes.append("Nothing encodes here, so there is no map of examples, and no arithmetic with their labels.")
        return pictures, notes
    pictures["map"] = (plane(np.asarray(codes).reshape(len(codes), -1)), examples["label"] if len(labels) else None)
    if codes[0].size == 2:
        grid = _normal_grid(20).reshape(-1, *codes.shape[1:])
        given = {name: jnp.broadcast_to(value[:1], (len(grid), *value.shape[1:])) for name, value in cond.items()}
        pictures["manifold"] = (decode(variables, grid, given), 20)
    if len(labels) < 2:
        notes.append("These data have no labels to do arithmetic with: load them with conditions=('label',).")
        return pictures, notes
    moved, given = _relabelled(examples["label"], codes, first, labels, n)
    rows = decode(variables, moved, given).reshape(n, len(labels), *examples["x"].shape[1:])
    rows = jnp.concatenate([examples["x"][:n, None], rows], axis=1)
    pictures["labels"] = (rows.reshape(-1, *rows.shape[2:]), len(labels) + 1)
    return pictures, notes


def examples_of(data: Data, count: int) -> Batch:
    """The first `count` examples of an epoch, or all where there are fewer."""
    batches = [data.at(step) for step in range(min(data.batches, -(-count // data.batch_size)))]
    return {name: jnp.concatenate([batch[name] for batch in batches])[:count] for name in batches[0]}


def plane(points: np.ndarray) -> np.ndarray:
    """Points [N, D] in the plane in which they vary most [N, 2]; points of a plane as they are."""
    if points.shape[1] <= 2:
        return np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    centred = points - points.mean(axis=0)
    return centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T


def save(folder: Path, pictures: Mapping[str, Any]) -> list[Path]:
    """Writes pictures as PNG files, and gives their paths."""
    paths = []
    for name, (content, more) in pictures.items():
        paths.append(folder / f"{name}.png")
        if name == "map":
            draw.save_map(paths[-1], content, more)
        else:
            draw.save_grid(paths[-1], content, more)
    return paths


def _are_classes(label: Array | None) -> bool:
    return label is not None and label.ndim == 1 and jnp.issubdtype(label.dtype, jnp.integer)


def _under_each(cond: Batch, labels: np.ndarray) -> Batch:
    """The conditions of n, each under every label, [n * labels, ...]."""
    repeated = {name: jnp.repeat(value, len(labels), axis=0) for name, value in cond.items()}
    return {**repeated, "label": jnp.tile(labels, len(cond["label"]))} if "label" in cond else repeated


def _relabelled(own: Array, codes: Array, cond: Batch, labels: np.ndarray, n: int) -> tuple[Array, Batch]:
    """Latents and conditions of the first n examples under every label; `cond` are their conditions."""
    repeated, given = jnp.repeat(codes[:n], len(labels), axis=0), _under_each(cond, labels)
    if "label" in cond:
        return repeated, given
    # the mean of label c less that of all others would be c's own direction; here it is from own label to c
    flat = {int(c): attribute(codes, own == int(c)) for c in labels}
    share = {int(c): float(jnp.mean(own == int(c))) for c in labels}
    towards = {c: (1 - share[c]) * direction for c, direction in flat.items()}  # mean of c less the mean of all
    steps = [towards[int(c)] - towards[int(label)] for label in own[:n] for c in labels]
    return repeated + jnp.stack(steps), given


def _normal_grid(side: int) -> Array:
    """Latents [side * side, 2] at even quantiles of N(0, I) (Kingma & Welling 2013, figure 4)."""
    quantiles = jax.scipy.stats.norm.ppf((jnp.arange(side) + 0.5) / side)
    return jnp.stack(jnp.meshgrid(quantiles, quantiles), axis=-1).reshape(-1, 2)
