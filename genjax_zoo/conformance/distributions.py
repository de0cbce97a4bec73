"""Whether a likelihood is a distribution, and samples are drawn from it: by enumeration and by quadrature."""

import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo.core import Batch, Model, PyTree, Variables, dimensions, total


def density_integrates_to_one(
    model: Model, variables: Variables, *, bound: float, points: int = 400, cond: Batch | None = None
) -> None:
    """exp(-nll) of a model of two numbers, summed over [-bound, bound]^2, is 1 to 1e-3."""
    mass = float(jnp.mean(_density_on_cells(model, variables, bound, points, cond)) * (2 * bound) ** 2)
    assert abs(mass - 1) < 1e-3, f"the density integrates to {mass:.6f} over [-{bound}, {bound}]^2"


def samples_follow_the_density(
    model: Model, variables: Variables, *, bound: float, n: int = 50_000, cells: int = 20, cond: Batch | None = None
) -> None:
    """How often samples of two numbers fall into each cell of a grid agrees with `nll`, to chance."""
    fine = _density_on_cells(model, variables, bound, 20 * cells, cond).reshape(cells, 20, cells, 20)
    p = np.asarray(jnp.mean(fine, axis=(1, 3)) * (2 * bound / cells) ** 2, np.float64).ravel()
    x = model.sample(variables, jax.random.key(0), n, _repeated(cond, n))
    edges = np.linspace(-bound, bound, cells + 1)
    counts = np.histogram2d(*np.asarray(x).T, bins=(edges, edges))[0].ravel()
    _frequencies_agree(counts, p, n)


def probabilities_sum_to_one(model: Model, variables: PyTree, *, cond: Batch | None = None) -> None:
    """`nll` of every binary x, enumerated, is a distribution; for models of at most 16 bits."""
    states = all_bits(model)
    mass = float(jnp.sum(jnp.exp(-_exact(model, variables, {"x": states, **_repeated(cond, len(states))}))))
    assert abs(mass - 1) < 1e-4, f"the probabilities of all {len(states)} states sum to {mass:.6f}"


def samples_follow_the_likelihood(
    model: Model, variables: PyTree, *, n: int = 20_000, cond: Batch | None = None
) -> None:
    """How often each binary x is drawn agrees with `nll`: total variation within five standard errors of chance."""
    states = all_bits(model)
    p = np.exp(-np.asarray(_exact(model, variables, {"x": states, **_repeated(cond, len(states))}), np.float64))
    bits = np.asarray(model.sample(variables, jax.random.key(0), n, _repeated(cond, n))).reshape(n, -1).astype(np.int64)
    counts = np.bincount(bits @ (1 << np.arange(bits.shape[1])), minlength=len(states))
    _frequencies_agree(counts, p, n)


def all_bits(model: Model) -> jax.Array:
    """Every binary x of a model, [2^D, ...]; the state number's lowest bit comes first."""
    count = dimensions(model.spec)
    assert count <= 16, f"enumerating 2^{count} states takes too long"
    numbers = np.arange(2**count)[:, None] >> np.arange(count) & 1
    return jnp.asarray(numbers, jnp.float32).reshape(-1, *model.spec["x"].shape)


def _frequencies_agree(counts: np.ndarray, p: np.ndarray, n: int) -> None:
    distance = 0.5 * np.abs(counts / n - p).sum()
    chance = 0.5 * np.sqrt(2 / np.pi * p * (1 - p) / n).sum()  # the mean distance of n fair draws
    assert distance < chance + 2.5 / np.sqrt(n), (
        f"samples are {distance:.4f} from the likelihood; chance is {chance:.4f}"
    )


def _repeated(cond: Batch | None, n: int) -> Batch:
    """The conditions of one example, [1, ...], for n."""
    return {name: jnp.broadcast_to(value, (n, *value.shape[1:])) for name, value in (cond or {}).items()}


def _density_on_cells(model: Model, variables: Variables, bound: float, points: int, cond: Batch | None) -> jax.Array:
    """exp(-nll) at the centres of points^2 cells of [-bound, bound]^2, x first."""
    assert model.spec["x"].shape == (2,), f"quadrature is for x of shape (2,), not {model.spec['x'].shape}"
    centres = bound * ((2 * jnp.arange(points) + 1) / points - 1)
    x = jnp.stack(jnp.meshgrid(centres, centres, indexing="ij"), axis=-1).reshape(-1, 2)
    nll = jax.jit(lambda variables, batch: _exact(model, variables, batch))
    return jnp.exp(-nll(variables, {"x": x, **_repeated(cond, len(x))})).reshape(points, points)


def _exact(model: Model, variables: PyTree, batch: Batch) -> jax.Array:
    return total(model.nll(variables, batch, jax.random.key(0))[0])
