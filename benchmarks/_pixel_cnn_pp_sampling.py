"""Samples of PixelCNN++ by the cached view against one evaluation of the whole network for every number.

    python benchmarks/_pixel_cnn_pp_sampling.py

The naive loop is not run to its end: a few evaluations of the whole network are timed, and 32 x 32 x 3 of them are its
time. They stop at the mixtures' parameters, without logits of 256 levels for every number, in favour of the naive loop.
"""

import time

import jax
import jax.numpy as jnp

from genjax_zoo import models
from genjax_zoo.core import dimensions
from genjax_zoo.sampling import cached, drawn


def pixel_cnn_pp_rows(
    n: int = 16, shape: tuple[int, int, int] = (32, 32, 3), repeats: int = 3, **settings: int
) -> list[dict[str, object]]:
    """Least seconds for n samples: [{name, cached_s, naive_s, ratio, samples_per_s}].

    Args:
        n: samples at a time.
        shape: of an image.
        repeats: of each, of which the least counts.
        settings: of `models.pixel_cnn_pp`; without them 64 features and 2 blocks.
    """
    settings = {"features": 64, "blocks": 2, **settings}
    model = models.pixel_cnn_pp(shape=shape, **settings)
    batch = {"x": jnp.zeros((n, *shape))}
    variables = model.init(jax.random.key(0), batch)
    whole = jax.jit(lambda v, batch: model.apply(v, "parameters", batch, key=jax.random.key(0))[0])
    draw = jax.jit(lambda v, key: cached(model.conditionals, v, n, drawn(key)))
    one = _least(lambda: whole(variables, batch), repeats)
    cached_s = _least(lambda: draw(variables, jax.random.key(0)), repeats)
    naive_s = one * dimensions(model.spec)
    name = f"pixel_cnn_pp {'x'.join(map(str, shape))}, {settings['blocks']} blocks of {settings['features']}"
    row = {"cached_s": cached_s, "naive_s": naive_s, "ratio": naive_s / cached_s, "samples_per_s": n / cached_s}
    return [{"name": name, **row}]


def _least(run, repeats: int) -> float:
    jax.block_until_ready(run())
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(run())
        seconds.append(time.perf_counter() - start)
    return min(seconds)


if __name__ == "__main__":
    for row in pixel_cnn_pp_rows():
        print(row)
