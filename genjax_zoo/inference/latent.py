"""Ways through a latent space, for every model with `decode`: between points, along axes and attributes, and back.

A latent z is an array [..., *shape]; the functions that decode take the model and its variables first.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax

from genjax_zoo.core import NO_CONDITION, Array, Batch, Latent, Model, Variables, compiled, part
from genjax_zoo.errors import UserError

LatentPath = Callable[[Array, Array, Array], Array]


def lerp(a: Array, b: Array, t: Array) -> Array:
    """The straight line from a to b at the times t [T]: [T, *a.shape]."""
    t = t.reshape(-1, *[1] * a.ndim)
    return (1 - t) * a + t * b


def slerp(a: Array, b: Array, t: Array) -> Array:
    """The great circle from a to b at the times t [T], the norm changing evenly: [T, *a.shape] (White 2016).

    Stays where a Gaussian prior has its mass, which a straight line leaves. Between parallel or opposite latents, where
    there is no one great circle, it is the straight line; so it is from and to zero, whose norm changes evenly, too.
    The angle is 2 atan2(|u - v|, |u + v|) of the unit vectors u and v, exact near 0 and pi as an arc cosine is not.
    """
    flat_a, flat_b, t = a.ravel(), b.ravel(), t[:, None]
    (unit_a, norm_a), (unit_b, norm_b) = _polar(flat_a), _polar(flat_b)
    difference, total = jnp.linalg.norm(unit_a - unit_b), jnp.linalg.norm(unit_a + unit_b)
    angle = 2 * jnp.arctan2(difference, total)
    sine = difference * total / 2  # of the angle: 2 sin(w / 2) cos(w / 2)
    turning = (sine > 4 * jnp.finfo(a.dtype).eps) & (norm_a > 0) & (norm_b > 0)
    middle, across = _polar(unit_a + unit_b)[0], _polar(unit_b - unit_a)[0]
    cosine = middle @ across  # 0 but for rounding, which the shorter of the two has more of
    opposite = total < difference
    middle, across = (
        _polar(middle - jnp.where(opposite, cosine, 0.0) * across)[0],
        _polar(across - jnp.where(opposite, 0.0, cosine) * middle)[0],
    )
    turned = (t - 0.5) * angle  # from the middle, which neither end's nearness to -a or to a disturbs
    circle = jnp.cos(turned) * middle + jnp.sin(turned) * across
    straight = (1 - t) * flat_a + t * flat_b
    return jnp.where(turning, ((1 - t) * norm_a + t * norm_b) * circle, straight).reshape(-1, *a.shape)


def _polar(z: Array) -> tuple[Array, Array]:
    """A vector as direction and norm, without squares that overflow or vanish."""
    largest = jnp.max(jnp.abs(z))
    scaled = z / jnp.where(largest > 0, largest, 1.0)
    norm = jnp.linalg.norm(scaled)
    return scaled / jnp.where(norm > 0, norm, 1.0), largest * norm


def interpolate(
    model: Model,
    variables: Variables,
    a: Array,
    b: Array,
    *,
    steps: int = 8,
    path: LatentPath = slerp,
    cond: Batch = NO_CONDITION,
) -> Array:
    """Decodes the ways from a[i] to b[i].

    Args:
        model: has `decode`.
        variables: its own.
        a: where the ways begin, [n, *latent].
        b: where they end, [n, *latent].
        steps: points on each way, both ends among them.
        path: `slerp` or `lerp`.
        cond: the conditions of each way, [n, ...].

    Returns:
        x [n, steps, ...].

    Raises:
        UserError: the model has no `decode`, the ends differ in shape, or there are fewer than two steps.
    """
    if a.shape != b.shape:
        raise UserError(f"The ways begin at latents of shape {a.shape} and end at {b.shape}; give them one shape.")
    if steps < 2:
        raise UserError(f"A way has two ends: use steps of 2 or more, not {steps}.")
    z = jax.vmap(lambda a, b: path(a, b, jnp.linspace(0.0, 1.0, steps)))(a, b)
    return _decode_each(model, variables, z, cond)


def traverse(
    model: Model,
    variables: Variables,
    z: Array,
    *,
    dimensions: Sequence[int] | None = None,
    span: float = 3.0,
    steps: int = 7,
    cond: Batch = NO_CONDITION,
) -> Array:
    """Decodes z with one number at a time set to -span ... span.

    Args:
        model: has `decode`.
        variables: its own.
        z: one latent, [*latent].
        dimensions: indices into the flattened latent; None is all of them.
        span: how far to go, in the prior's standard deviations.
        steps: points on each axis.
        cond: the conditions of one example, [1, ...].

    Returns:
        x [len(dimensions), steps, ...].

    Raises:
        UserError: the model has no `decode`, or the latent has no such dimension.
    """
    indices = list(range(z.size)) if dimensions is None else list(dimensions)
    for index in indices:
        if not 0 <= index < z.size:
            raise UserError(f"There is no latent dimension {index}; use 0 ... {z.size - 1}.")
    values = jnp.linspace(-span, span, steps)
    moved = jax.vmap(lambda i: jax.vmap(lambda v: z.ravel().at[i].set(v).reshape(z.shape))(values))(jnp.array(indices))
    given = {name: jnp.broadcast_to(value, (len(indices), *value.shape[1:])) for name, value in cond.items()}
    return _decode_each(model, variables, moved, given)


def attribute(z: Array, present: Array) -> Array:
    """The direction of an attribute: the mean latent with it, less that without (Larsen et al. 2016, sec. 4.2).

    Args:
        z: latents, [n, *latent].
        present: bool [n].

    Returns:
        [*latent]; z + direction adds the attribute.

    Raises:
        UserError: all have it, or none.
    """
    have = int(jnp.sum(present))
    if present.shape != z.shape[:1] or have in (0, len(z)):
        raise UserError(
            f"An attribute needs labelled examples with and without it; of {len(z)} latents {have} have it."
        )
    weight = present.astype(z.dtype).reshape(-1, *[1] * (z.ndim - 1))
    return jnp.sum(weight * z, 0) / have - jnp.sum((1 - weight) * z, 0) / (len(z) - have)


def invert(
    model: Model,
    variables: Variables,
    x: Array,
    start: Array,
    *,
    steps: int = 500,
    learning_rate: float = 0.05,
    prior: float = 0.0,
    cond: Batch = NO_CONDITION,
) -> tuple[Array, Array]:
    """Latents whose decoding comes near x, by Adam: an encoder for a model that has none (Zhu et al. 2016).

    Args:
        model: has `decode`.
        variables: its own.
        x: what to come near to, [n, ...].
        start: where to begin, [restarts, n, *latent]; each x keeps the nearest of what comes of them.
        steps: of Adam.
        learning_rate: its step size at the start; it falls to zero along a cosine.
        prior: the weight of |z|^2 / 2 beside the squared error.
        cond: the conditions, [n, ...].

    Returns:
        z [n, *latent], and the mean squared error of each [n].

    Raises:
        UserError: the model has no `decode`, or the starts are not of n examples.
    """
    part(model, Latent, "decode")
    if start.shape[1] != len(x):
        raise UserError(f"There are {len(x)} examples, but starts of shape {start.shape}: [restarts, n, *latent].")
    z, error = _inversion(model, steps, learning_rate, prior)(variables, x, start, cond)
    nearest = jnp.argmin(error, axis=0)
    return z[nearest, jnp.arange(len(x))], error[nearest, jnp.arange(len(x))]


@compiled
def _inversion(model: Model, steps: int, learning_rate: float, prior: float):
    tx = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))

    def errors(variables: Variables, z: Array, x: Array, cond: Batch) -> Array:
        return jnp.mean((model.decode(variables, z, cond) - x).reshape(len(x), -1) ** 2, axis=1)

    @jax.jit
    def run(variables: Variables, x: Array, starts: Array, cond: Batch) -> tuple[Array, Array]:
        def objective(z):
            return jnp.sum(errors(variables, z, x, cond)) + prior * 0.5 * jnp.sum(z**2) / math.prod(x.shape[1:])

        def turn(carry, _):
            z, state = carry
            updates, state = tx.update(jax.grad(objective)(z), state)
            return (z + updates, state), None

        def one(z):
            (z, _), _ = jax.lax.scan(turn, (z, tx.init(z)), length=steps)
            return z, errors(variables, z, x, cond)

        return jax.vmap(one)(starts)

    return run


def _decode_each(model: Model, variables: Variables, z: Array, cond: Batch) -> Array:
    """Decodes z [n, steps, *latent], with the conditions of n, to x [n, steps, ...]."""
    n, steps = z.shape[:2]
    given = {name: jnp.repeat(value, steps, axis=0) for name, value in cond.items()}
    x = model.decode(variables, z.reshape(n * steps, *z.shape[2:]), given)
    return x.reshape(n, steps, *x.shape[1:])
