"""What a model draws has the shape that it was built for, or a sentence says which shapes there are."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from genjax_zoo import from_linen, models
from genjax_zoo.core import Sampler, conditions, require
from genjax_zoo.linen import image_spec

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("shape", "widths", "sizes"),
    [
        ((28, 28, 1), (4,) * 4, "multiples of 8 .rows and columns of 24 or 32, 24 or 32."),
        ((27, 35, 1), (4, 4), "multiples of 2 .rows and columns of 26 or 28, 34 or 36."),
        ((8, 10, 3), (4,) * 3, "multiples of 4 .rows and columns of 8, 8 or 12."),
        ((2, 8, 3), (4,) * 3, "multiples of 4 .rows and columns of 4, 8."),
    ],
)
def test_r3gan_names_the_sizes_that_fit(shape, widths, sizes):
    """Of 28x28 it drew 24x24, and trained."""
    with pytest.raises(ValueError, match=sizes):
        models.r3gan(shape=shape, latent=3, widths=widths, blocks=1, groups=2)


class Small(nn.Module):
    """Draws 2x2 whatever it is built for."""

    def setup(self):
        self.net = nn.Dense(4)

    def __call__(self, batch, key, train=False):
        return self.decode(jnp.zeros((len(batch["x"]), 3)), {}, train)

    def decode(self, z, cond, train=False):
        return self.net(z).reshape(-1, 2, 2, 1)

    def sample(self, key, n, cond, train=False):
        return self.decode(jax.random.normal(key, (n, 3)), cond, train)


@pytest.mark.parametrize("ask", ["sample", "decode", "trained"])
def test_a_draw_of_another_shape_is_refused(ask):
    """Also where a game trains it; of its own shape it is drawn."""

    def draw(shape):
        model = from_linen(Small(), image_spec(shape))
        variables = model.init(KEY, {"x": jnp.zeros((2, *shape))})
        return {
            "sample": lambda: model.sample(variables, KEY, 2),
            "decode": lambda: model.decode(variables, jnp.zeros((2, 3))),
            "trained": lambda: require(model, Sampler).draw(variables, KEY, 2, train=True)[0],
        }[ask]()

    assert draw((2, 2, 1)).shape == (2, 2, 2, 1)
    with pytest.raises(ValueError, match="built for x of shape .3, 3, 1., but what it draws has .2, 2, 1."):
        draw((3, 3, 1))


@pytest.mark.parametrize("name", sorted(models.MODELS))
@pytest.mark.parametrize("shape", [(28, 28, 1), (27, 35, 1), (10, 10, 3)])
@pytest.mark.slow
def test_every_factory_draws_the_shape_that_it_was_given_or_refuses_it(name, shape):
    if name == "wavenet":
        return  # of a length
    try:
        model = models.MODELS[name](shape=shape, **({"codes": 8} if name == "vq_vae" else {}))
    except ValueError:
        return
    batch = {n: jax.ShapeDtypeStruct((2, *one.shape), one.dtype) for n, one in model.spec.items()}
    variables = jax.eval_shape(model.init, KEY, batch)
    x = jax.eval_shape(lambda v, b: model.sample(v, KEY, 2, conditions(b)), variables, batch)
    assert x.shape == (2, *shape)
