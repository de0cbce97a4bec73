"""Pictures of a latent space, for any model with `decode`: what `genjax-zoo latent RUN` draws.

interpolation   each row goes from one example's latent, or one draw from the prior, to another
traversal       each row changes one number of a latent; the rows are the numbers that vary most over examples
classes         a conditional model's draws: a row is one latent, a column one label
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

from genjax_zoo import report
from genjax_zoo.core import Array, Batch, Data, Experiment, Key, Model, Variables, conditions, require
from genjax_zoo.evals.walk import some_of
from genjax_zoo.latent import attribute, interpolate, invert, slerp, traverse

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
        ValueError: no `decode`, no images, fewer examples than 2 n, or no such dimension.
    """
    (decode,) = require(model, "decode")
    if examples["x"].ndim != 4:
        raise ValueError(f"A latent space is drawn in images [H, W, C], but x here is {examples['x'].shape[1:]}.")
    if len(examples["x"]) < 2 * n:
        raise ValueError(f"{n} rows need {2 * n} examples, but there are {len(examples['x'])}; use a smaller -n.")
    decode = jax.jit(decode)
    pictures: dict[str, Any] = {}
    notes: list[str] = []
    cond = {name: value for name, value in conditions(examples).items() if name in model.spec}
    first = {name: value[:n] for name, value in cond.items()}
    codes = None
    if model.encode is not None:
        codes = jax.jit(model.encode)(variables, examples, key)
        ends, varying = codes[: 2 * n], np.var(np.asarray(codes).reshape(len(codes), -1), axis=0)
    else:
        (prior,) = require(model, "sample_prior")
        ends = prior(variables, key, 2 * n, {name: value[: 2 * n] for name, value in cond.items()})
        varying = np.ones(ends[0].size)

    def strip(name: str, rows: Array) -> None:
        pictures[name] = (rows.reshape(-1, *rows.shape[2:]), rows.shape[1])

    chosen = dimensions or np.argsort(-varying, kind="stable")[:MOST_DIMENSIONS].tolist()
    one = {name: value[:1] for name, value in cond.items()}
    strip("traversal", traverse(model, variables, ends[0], dimensions=chosen, span=span, steps=steps, cond=one))
    strip("interpolation", interpolate(model, variables, ends[:n], ends[n:], steps=steps, path=path, cond=first))
    labels = np.unique(examples["label"]) if "label" in examples else np.zeros(0, int)
    if "label" in model.spec and model.sample_prior is not None:
        draws = jnp.repeat(model.sample_prior(variables, key, n, first), len(labels), axis=0)
        pictures["classes"] = (decode(variables, draws, {"label": jnp.tile(labels, n)}), len(labels))
    if codes is None:
        starts = jnp.stack([model.sample_prior(variables, k, n, first) for k in jax.random.split(key, 4)])
        found, _ = invert(model, variables, examples["x"][:n], starts, steps=300, cond=first)
        strip("inversion", jnp.stack([examples["x"][:n], decode(variables, found, first)], axis=1))
        notes.append("Nothing encodes here, so there is no map of examples, and no arithmetic with their labels.")
        return pictures, notes
    pictures["map"] = (plane(np.asarray(codes).reshape(len(codes), -1)), examples.get("label"))
    if codes[0].size == 2:
        grid = _normal_grid(20).reshape(-1, *codes.shape[1:])
        given = {name: jnp.broadcast_to(value[:1], (len(grid), *value.shape[1:])) for name, value in cond.items()}
        pictures["manifold"] = (decode(variables, grid, given), 20)
    if len(labels) < 2:
        notes.append("These data have no labels to do arithmetic with: load them with conditions=('label',).")
        return pictures, notes
    pictures["labels"] = (_relabelled(model, decode, variables, examples, codes, labels, n), len(labels) + 1)
    return pictures, notes


def examples_of(data: Data, count: int) -> Batch:
    """The first `count` examples of an epoch, or all where there are fewer."""
    batches = [data.at(step) for step in range(min(data.batches, -(-count // data.batch_size)))]
    return {name: jnp.concatenate([batch[name] for batch in batches])[:count] for name in batches[0]}


def conditions_of(experiment: Experiment, n: int, given: Sequence[str] = (), seed: int = 0) -> dict[str, Array]:
    """The conditions of n samples: as given, "label=3" or "label=0,1,2", else as the run's own data have them.

    Raises:
        ValueError: a condition that the model does not have, no numbers, or labels that the data do not have.
    """
    spec = conditions(experiment.model.spec)
    if not spec and not given:
        return {}
    taken = {name: jnp.asarray(value) for name, value in some_of(experiment.data, n, spec, seed).items()}
    for text in given:
        name, _, values = text.partition("=")
        if name not in spec:
            raise ValueError(f"The model has no condition '{name}'; it has {sorted(spec) or 'none'}.")
        try:
            numbers = np.array([float(value) for value in values.split(",")])
        except ValueError:
            raise ValueError(f"--cond {text} has no numbers; write {name}=3 or {name}=0,1,2.") from None
        if spec[name].shape:
            raise ValueError(f"The condition '{name}' is an array {spec[name].shape}; leave it to the run's own data.")
        if jnp.issubdtype(spec[name].dtype, jnp.integer):
            top = int(np.max(_values_of(experiment.data, name)))
            wrong = numbers[(numbers < 0) | (numbers > top) | (numbers != np.round(numbers))]
            if wrong.size:
                raise ValueError(f"--cond {text}: '{name}' is one of 0 ... {top}, as in the run's data.")
        taken[name] = jnp.asarray(np.resize(numbers, n), spec[name].dtype)
    return taken


def _values_of(data: Data, name: str) -> Any:
    """The values that a condition has in data, or had in data that are gone."""
    known = getattr(data, "seen", None) or getattr(data, "arrays", {})
    return np.asarray(known[name]) if name in known else examples_of(data, 2_000)[name]


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
            report.save_map(paths[-1], content, more)
        else:
            report.save_grid(paths[-1], content, more)
    return paths


def _relabelled(model, decode, variables, examples, codes, labels, n) -> Array:
    """Rows of an example and what it becomes under every label, [n * (1 + labels), H, W, C]."""
    own, repeated = examples["label"][:n], jnp.repeat(codes[:n], len(labels), axis=0)
    if "label" in model.spec:
        moved, given = repeated, {"label": jnp.tile(labels, n)}
    else:
        # the mean of label c less that of all others would be c's own direction; here it is from own label to c
        flat = {int(c): attribute(codes, examples["label"] == int(c)) for c in labels}
        share = {int(c): float(jnp.mean(examples["label"] == int(c))) for c in labels}
        towards = {c: (1 - share[c]) * direction for c, direction in flat.items()}  # mean of c less the mean of all
        steps = [towards[int(c)] - towards[int(label)] for label in own for c in labels]
        moved, given = repeated + jnp.stack(steps), {}
    changed = decode(variables, moved, given)
    rows = changed.reshape(n, len(labels), *changed.shape[1:])
    return jnp.concatenate([examples["x"][:n, None], rows], axis=1).reshape(-1, *changed.shape[1:])


def _normal_grid(side: int) -> Array:
    """Latents [side * side, 2] at even quantiles of N(0, I) (Kingma & Welling 2013, figure 4)."""
    quantiles = jax.scipy.stats.norm.ppf((jnp.arange(side) + 0.5) / side)
    return jnp.stack(jnp.meshgrid(quantiles, quantiles), axis=-1).reshape(-1, 2)
