"""The table of all models: a tiny one of each, with its players. `test_laws` holds every one to every law."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genjax_zoo import losses, models, nn, wrap
from genjax_zoo.compose import over_variables
from genjax_zoo.conformance import Case
from genjax_zoo.core import Conditionals, Density, Explained, FromBatch, Model, Of, Player, Terms, require
from genjax_zoo.math import discretized_logistic, gaussian_mixture

SHAPE = (8, 8, 1)
SMALL = (4, 4, 1)  # for flows, whose Jacobians are taken
ADAM = optax.adam(1e-3)


def images(n: int = 16, levels: int = 17, seed: int = 0) -> dict[str, jax.Array]:
    """Smooth blobs on the grey levels of [0, 1]: enough structure for a loss to fall."""
    centre = np.random.default_rng(seed).uniform(1, 6, (n, 2, 1, 1))  # NumPy's, which compiles nothing
    rows, columns = np.mgrid[:8, :8]
    blob = np.exp(-0.3 * ((rows - centre[:, 0]) ** 2 + (columns - centre[:, 1]) ** 2))
    return {"x": jnp.asarray(np.round(blob * (levels - 1))[..., None] / (levels - 1), jnp.float32)}


def labels(n: int) -> jax.Array:
    """Sixteen labels below n."""
    return jnp.asarray(np.arange(16) % n)


def _vae(model: Model, levels: int) -> Case:
    players = {"vae": Player(terms=model.nelbo, weights={"distortion": 1.0, "rate": 1.0}, tx=ADAM, ema=0.99)}
    return Case(model=model, players=players, batch=images(levels=levels))


def vae() -> Case:
    return _vae(models.vae(shape=SHAPE, latent=3, hidden=(16,), likelihood=discretized_logistic(17)), levels=17)


def conv_vae() -> Case:
    return _vae(models.conv_vae(shape=SHAPE, latent=3, widths=(4, 8), likelihood=discretized_logistic(17)), levels=17)


def _game(model: Model, adversary: str, batch: dict[str, jax.Array] | None = None, **game: Any) -> Case:
    critic, generator = losses.adversarial(model, losses.adversary(adversary), **game)
    weights = {"adversarial": 1.0, **{name: 0.1 for name in game if name != "augment"}}
    players = {
        "critic": Player(terms=critic, weights=weights, tx=ADAM, owns=("discriminator",)),
        "generator": Player(
            terms=generator, weights={"adversarial": 1.0}, tx=ADAM, owns=("generator",), every=2, ema=0.9
        ),
    }
    return Case(model=model, players=players, batch=batch or images())


def gan() -> Case:
    return _game(
        models.gan(shape=SHAPE, latent=3, hidden=(16,), critic_hidden=(8, 8), pieces=3, normalised=True, pack=2),
        "minimax",
        wgan_gp=losses.wgan_gp,
    )


def dcgan() -> Case:
    spectral = nn.spectral_norm
    model = models.dcgan(shape=SHAPE, latent=3, widths=(4, 8), norm=spectral, edge_norm=spectral)
    return _game(model, "non_saturating")


def sngan() -> Case:
    return _game(models.sngan(shape=SHAPE, latent=3, features=4), "hinge")


def projection_gan() -> Case:
    model = models.projection_gan(shape=SHAPE, classes=3, latent=3, features=4, pack=2)
    return _game(model, "least_squares", {**images(), "label": labels(3)})


def r3gan() -> Case:
    model = wrap.with_memory(models.r3gan(shape=SHAPE, latent=3, widths=(4, 4), blocks=1, groups=2))
    penalties: dict[str, Any] = {"r1": losses.r1, "r2": losses.r2, "lecam": losses.lecam}
    return _game(model, "relativistic", augment=losses.diff_augment(losses.translation), **penalties)


def vae_gan() -> Case:
    model = models.vae_gan(shape=SHAPE, latent=3, widths=(4, 8))
    terms = models.vae_gan_terms(model)
    players = {
        "encoder": Player(terms=terms, weights={"distortion": 1.0, "rate": 1.0}, tx=ADAM, owns=("encoder",)),
        "decoder": Player(terms=terms, weights={"distortion": 0.1, "fool": 1.0}, tx=ADAM, owns=("decoder",)),
        "critic": Player(terms=terms, weights={"critic": 1.0}, tx=ADAM, owns=("discriminator",)),
    }
    return Case(model=model, players=players, batch=images())


def cvae() -> Case:
    case = _vae(models.cvae(shape=SHAPE, classes=3, latent=3, hidden=(16,)), levels=2)
    return dataclasses.replace(case, batch={**case.batch, "label": labels(3)})


def iwae() -> Case:
    model = models.iwae(shape=SHAPE, latent=(4, 2), hidden=((16,), (8,)))
    terms = losses.importance_weighted(model, k=3, estimator=losses.doubly_reparameterized)
    players = {"iwae": Player(terms=terms, weights={"iw_nelbo": 1.0}, tx=ADAM)}
    return Case(model=model, players=players, batch=images(levels=2))


def vamp_prior() -> Case:
    return _vae(models.vamp_prior(shape=SHAPE, latent=3, hidden=(16,), pseudo_inputs=5), levels=2)


def vq_vae() -> Case:
    model = models.vq_vae(shape=SHAPE, codes=8, features=4, widths=(4, 8), prior_features=4, prior_layers=2)
    autoencoder, prior = models.vector_quantized(model)
    weights = {"distortion": 1.0, "commitment": 0.25}
    players = {
        "vq": Player(terms=autoencoder, weights=weights, tx=ADAM, owns=("encoder", "quantizer", "decoder")),
        "prior": Player(terms=prior, weights={"rate": 1.0}, tx=ADAM, owns=("prior",)),
    }
    return Case(model=model, players=players, batch=images(levels=2))


def ladder_vae() -> Case:
    model = models.ladder_vae(shape=SHAPE, layers=2, latent=2, features=4, blocks=1)
    weights = {"distortion": 1.0, "rate_1": 1.0, "rate_2": 1.0}
    return Case(
        model=model, players={"vae": Player(terms=model.nelbo, weights=weights, tx=ADAM)}, batch=images(levels=2)
    )


def _flow(model: Model, terms: tuple[str, ...] = ("prior", "log_det"), **conditions: jax.Array) -> Case:
    """A flow's case, on blobs with the noise that makes them continuous."""
    noise = np.random.default_rng(1).uniform(size=(16, *SMALL))
    x = 4 * (np.asarray(images()["x"])[:, 2:6, 2:6] + noise / 16) - 2
    players = {"flow": Player(terms=model.nll, weights=dict.fromkeys(terms, 1.0), tx=ADAM)}
    return Case(model=model, players=players, batch={"x": jnp.asarray(x, jnp.float32), **conditions})


def nice() -> Case:
    return _flow(models.nice(shape=SMALL, hidden=(16,)))


def real_nvp() -> Case:
    return _flow(models.real_nvp(shape=SMALL, layers=3, hidden=(16,)))


def multiscale_real_nvp() -> Case:
    return _flow(models.multiscale_real_nvp(shape=SMALL, scales=2, width=4, blocks=1))


def glow() -> Case:
    return _flow(models.glow(shape=SMALL, scales=2, steps=2, width=4, classes=3), label=labels(3))


def _levels(model: Model, **conditions: jax.Array) -> Case:
    """An autoregressive model's case: levels of blobs that depend on their neighbours, in the model's own shape."""
    shape = model.spec["x"].shape
    views = require(model, Conditionals)
    height, width, channels = shape if len(shape) == 3 else views.grid
    blobs = np.asarray(images()["x"])[:, 1 : 1 + height, :width]
    top = views.levels - 1
    x = np.round(top * np.concatenate([blobs, 1 - blobs, blobs**2], axis=-1)[..., :channels]) / top
    players = {"model": Player(terms=model.nll, weights={"nll": 1.0}, tx=ADAM)}
    return Case(model=model, players=players, batch={"x": jnp.asarray(x.reshape(-1, *shape)), **conditions})


def gated_pixel_cnn() -> Case:
    model = models.gated_pixel_cnn(shape=(3, 5, 2), levels=3, features=4, layers=4, size=3, classes=3)
    return _levels(model, label=labels(3))


def wavenet() -> Case:
    given = {"label": 3, "speaker": 2}
    model = models.wavenet(length=19, levels=5, layers=5, block=3, features=4, gates=6, skip=7, conditions=given)
    wave = np.sin(np.arange(19) * np.linspace(0.3, 1.2, 16)[:, None])
    x = jnp.asarray(np.round(2 + 2 * wave)[..., None] / 4, jnp.float32)
    players = {"model": Player(terms=model.nll, weights={"nll": 1.0}, tx=ADAM)}
    batch = {"x": x, "label": labels(3), "speaker": labels(2)}
    return Case(model=model, players=players, batch=batch)


def image_gpt() -> Case:
    model = models.image_gpt(shape=(3, 3, 2), levels=3, features=6, layers=2, heads=2, classes=3)
    return _levels(model, label=labels(3))


def nade() -> Case:
    return _levels(models.nade(shape=(3, 5, 1), hidden=7, classes=3), label=labels(3))


def pixel_cnn_pp() -> Case:
    model = models.pixel_cnn_pp(shape=(4, 6, 3), levels=5, classes=3, features=4, blocks=1, scales=2, components=2)
    return _levels(model, label=labels(3))


def pixel_cnn() -> Case:
    model = models.pixel_cnn(shape=(4, 7, 2), levels=3, features=12, layers=2, size=5, head_features=12, classes=3)
    return _levels(model, label=labels(3))


def row_lstm() -> Case:
    model = models.row_lstm(shape=(4, 7, 2), levels=3, features=6, layers=2, size=5, head_features=12, classes=3)
    return _levels(model, label=labels(3))


def diagonal_bilstm() -> Case:
    model = models.diagonal_bilstm(shape=(4, 7, 2), levels=3, features=6, layers=2, size=5, head_features=12, classes=3)
    return _levels(model, label=labels(3))


def made() -> Case:
    return _flow(models.made(shape=SMALL, hidden=(24,), likelihood=gaussian_mixture(2)), ("nll",))


def maf() -> Case:
    return _flow(models.maf(shape=SMALL, layers=2, hidden=(24,), classes=3), label=labels(3))


def iaf() -> Case:
    return _flow(models.iaf(shape=SMALL, layers=2, hidden=(16,)))


def spline_coupling() -> Case:
    return _flow(models.spline_coupling(shape=SMALL, layers=2, hidden=(16,), bins=4))


def spline_autoregressive() -> Case:
    return _flow(models.spline_autoregressive(shape=SMALL, layers=2, hidden=(24,), bins=4))


CASES: Mapping[str, Callable[[], Case]] = {
    "vae": vae,
    "conv_vae": conv_vae,
    "cvae": cvae,
    "iwae": iwae,
    "vamp_prior": vamp_prior,
    "vq_vae": vq_vae,
    "ladder_vae": ladder_vae,
    "nice": nice,
    "real_nvp": real_nvp,
    "multiscale_real_nvp": multiscale_real_nvp,
    "glow": glow,
    "gated_pixel_cnn": gated_pixel_cnn,
    "wavenet": wavenet,
    "image_gpt": image_gpt,
    "nade": nade,
    "pixel_cnn_pp": pixel_cnn_pp,
    "pixel_cnn": pixel_cnn,
    "row_lstm": row_lstm,
    "diagonal_bilstm": diagonal_bilstm,
    "made": made,
    "maf": maf,
    "iaf": iaf,
    "spline_coupling": spline_coupling,
    "spline_autoregressive": spline_autoregressive,
    "gan": gan,
    "dcgan": dcgan,
    "sngan": sngan,
    "projection_gan": projection_gan,
    "r3gan": r3gan,
    "vae_gan": vae_gan,
}


def compiled(model: Model) -> Model:
    """The model with its functions as programs, one each, where a test would run a network operation by operation."""

    def lift(run: Of[Any]) -> Of[Any]:
        @functools.partial(jax.jit, static_argnums=(2, 3))
        def program(variables: Any, arrays: list[Any], counts: tuple[tuple[int, int], ...], train: bool, how: Any):
            given, count = iter(arrays), dict(counts)
            args = [count[i] if i in count else next(given) for i in range(len(arrays) + len(counts))]
            return run(variables, *args, train=train, **how)

        def call(variables: Any, *args: Any, train: bool = False, **how: Any):
            counts = tuple((i, arg) for i, arg in enumerate(args) if isinstance(arg, int))
            return program(variables, [arg for arg in args if not isinstance(arg, int)], counts, train, how)

        return call

    return over_variables(model, lift, lambda init: init)


def of_terms(model: Model, terms: FromBatch[Terms], *, exact: bool = True) -> Model:
    """The model with another density, and so with none of its importance weights."""
    return dataclasses.replace(model, density=Density(terms=Explained(terms=terms, rest="nats"), exact=exact))
