"""Bits are of what the data are: levels, noise above them, or a density; a likelihood of anything else is refused.

Closed forms and float64; each number is what a split of the data gives, where every example counts once.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from capable import density, levels
from capable import of as pure

from genjax_zoo import data, evals, math, models, wrap
from genjax_zoo.compare import measures
from genjax_zoo.core import Conditionals, Explained, Levels, Model, stated_support
from genjax_zoo.data import named
from genjax_zoo.evals.support import counted_terms, unit

KEY, DIMENSIONS = jax.random.key(0), 6
BYTES = np.random.default_rng(0).integers(0, 256, (10, 2, 3, 1)).astype(np.uint8)
BITS = (BYTES > 99).astype(np.uint8)


def split(x, transform=None, **conditions):
    return data.from_arrays(x, batch_size=4, train=False, transform=transform, **conditions)


def of(nats, names=("nll",), shape=(2, 3, 1), weigh=None, nll=None, **fields):
    """A model whose terms sum to nats(x) [B]; it does not state of what."""

    def terms(variables, batch, key, train):
        return {name: nats(batch["x"]) / len(names) for name in names}, variables

    spec = {"x": jax.ShapeDtypeStruct(shape, jnp.float32)}
    return Model(spec=spec, init=lambda key, batch: {}, density=density(nll or terms, weigh=weigh), **fields)


def ramp(x):
    """-log of the density 2 x on [0, 1)^D."""
    return -jnp.sum(jnp.log(2 * x), axis=(1, 2, 3))


def bits_of(model, source, **more):
    return evals.likelihood(source, **more)(model, {}, KEY).get("bits/dim")


def a_density_has_eight_bits_more(bits):
    """Of x = (k + u) / 256: those of P(k) >= 2^-8 exp E log p."""
    assert bits(of(lambda x: jnp.zeros(len(x)))) == pytest.approx(8), "even numbers have not eight bits"
    source = split(BYTES, data.dequantize)
    x = np.concatenate([np.asarray(source.at(i)["x"], np.float64)[np.asarray(source.mask(i)) == 1] for i in range(3)])
    assert len(x) == 10
    assert bits(of(ramp)) == pytest.approx(8 - np.log2(2 * x).mean(), rel=1e-5)


def test_bits_of_a_density_are_those_of_the_levels_below_it():
    def without(model):
        return evals.likelihood(split(BYTES, data.dequantize))(model, {}, KEY)["nll"] / (DIMENSIONS * np.log(2))

    a_density_has_eight_bits_more(lambda model: bits_of(model, split(BYTES, data.dequantize)))
    with pytest.raises(AssertionError, match="have not eight bits"):
        a_density_has_eight_bits_more(without)
    inside = wrap.dequantized(of(ramp))  # the same bound, by the wrapper: in noise of its own
    assert bits_of(inside, split(BYTES)) == pytest.approx(bits_of(of(ramp), split(BYTES, data.dequantize)), abs=0.3)
    even = wrap.dequantized(of(lambda x: jnp.zeros(len(x)), shape=(8, 8, 1)), levels=17)
    assert bits_of(even, data.load("digits", "test", batch_size=50)) == pytest.approx(np.log2(17))


@pytest.mark.parametrize(
    "source",
    [
        split(BYTES, data.logit(0.05)),
        split(BYTES.astype(np.float32)),
        data.from_arrays(np.ones((4, 2), np.float32), batch_size=2, train=False),
        data.load("grid25", "test", batch_size=5_000),
    ],
    ids=["logit space", "numbers", "one's own points", "points"],
)
def test_a_density_without_levels_has_no_bits(source):
    model = of(lambda x: jnp.sum(x.reshape(len(x), -1), axis=1), shape=source.spec["x"].shape)
    assert bits_of(model, source) is None
    assert bits_of(model, split(BYTES, data.dequantize)) is not None  # control


def test_a_likelihood_without_a_term_has_no_bits():
    source, model = split(BYTES, data.dequantize), of(ramp, names=("prior", "logit"))
    found = evals.likelihood(source, leave_out=("logit",))(model, {}, KEY)
    assert set(found) == {"nll", "prior"} and bits_of(model, source) is not None


def test_a_bound_of_many_draws_has_the_bits_of_its_data():
    def weigh(variables, batch, key, k):
        return jnp.zeros((k, len(batch["x"])))

    model = of(ramp, weigh=weigh)
    assert evals.iw_bound(split(BYTES, data.dequantize), k=3)(model, {}, KEY)["iw-3/bits/dim"] == pytest.approx(8)
    assert set(evals.iw_bound(split(BYTES, data.logit(0.05)), k=3)(model, {}, KEY)) == {"iw-3"}


def views(levels):
    nothing: dict[str, Any] = dict.fromkeys(("start", "begin_row", "step", "choices"))
    logits = lambda variables, batch: jnp.zeros((*batch["x"].shape, levels))  # noqa: E731
    return Conditionals(grid=(2, 3, 1), levels=levels, logits=pure(logits), **nothing)


EVEN = of(lambda x: jnp.zeros(len(x)))
OTHERS = [
    (wrap.dequantized(EVEN), split(BITS, data.scale(2)), "of 256 levels, where these data have 2"),
    (wrap.dequantized(EVEN, levels=33), split(BITS, data.scale(17)), "of 33 levels, where these data have 17"),
    (wrap.dequantized(EVEN, levels=2), split(BITS, data.scale(17)), "of 2 levels, where these data have 17"),
    (of(ramp, conditionals=views(3)), split(BITS, data.binarize), "of 3 levels, where these data have 2"),
    (of(ramp, conditionals=views(2)), split(BYTES, data.dequantize), "of levels, where these data have a density"),
    (wrap.dequantized(EVEN), split(BYTES, data.logit(0.05)), "of levels, where these data have a density"),
    (of(ramp, card=levels(None)), split(BYTES), "a density, where these data have 256 levels; wrap the model"),
    (
        wrap.scaled(of(ramp, card=levels(None)), shift=0.0, scale=2.0),
        split(BYTES),
        "a density, where these data have 256 levels",
    ),
]


@pytest.mark.parametrize("model, source, sentence", OTHERS)
def test_a_likelihood_of_another_support_is_refused(model, source, sentence):
    with pytest.raises(ValueError, match=sentence):
        evals.likelihood(source)(model, {}, KEY)
    subject = type("Subject", (), {"model": model, "variables": {}, "test": source, "key": KEY})
    cells, _ = measures.likelihood(subject)  # type: ignore[arg-type]
    assert all(cell["value"] is None and sentence in cell["reason"] for cell in cells.values())


def test_a_gaussian_vae_of_levels_is_refused():
    """And the same wrapped by noise, or of a distribution of levels, is not."""
    source = split(BYTES)
    gaussian = models.vae(shape=(2, 3, 1), latent=1, hidden=(), likelihood=math.gaussian())
    logistic = models.vae(shape=(2, 3, 1), latent=1, hidden=(), likelihood=math.discretized_logistic(256))
    variables = gaussian.init(KEY, source.at(0))
    with pytest.raises(ValueError, match="a density, where these data have 256 levels; wrap the model by wrap.dequan"):
        evals.likelihood(source)(gaussian, variables, KEY)
    for model in (wrap.dequantized(gaussian), logistic):
        assert "bits/dim" in evals.likelihood(source)(model, model.init(KEY, source.at(0)), KEY)


def test_a_model_states_its_levels():
    """Wrapping by noise makes levels of a density, conditionals have theirs; what does not say is not asked again."""

    def refusing(batch):
        raise AssertionError("it was tried out")

    assert [stated_support(wrap.dequantized(EVEN, levels=n)) for n in (17, 33, 257, 256)] == [
        (17,),
        (33,),
        (257,),
        (256,),
    ]
    assert [stated_support(model) for model in (EVEN, of(ramp, conditionals=views(5)))] == [None, Levels(5)]
    assert [stated_support(of(ramp, card=levels(n), check=refusing)) for n in (None, 3)] == [Levels(None), Levels(3)]
    logistic, gaussian = math.discretized_logistic(256), math.gaussian()
    given: dict[str, Any] = {"shape": (2, 3, 1), "latent": 1, "hidden": ()}
    assert [stated_support(models.vae(**given, likelihood=one)) for one in (logistic, gaussian)] == [
        Levels(256),
        Levels(None),
    ]


def test_what_is_not_said_has_no_bits():
    """And is counted all the same: it may be either."""
    subject = type("Subject", (), {"model": EVEN, "variables": {}, "test": split(BYTES), "key": KEY})
    cells, (note,) = measures.likelihood(subject)  # type: ignore[arg-type]
    assert cells["nats"]["value"] == 0 and cells["bits_per_dim"]["value"] is None
    assert "probability of 256 levels or a density; state it in the model's card, support=Levels(256) or Lev" in note
    assert bits_of(dataclasses.replace(EVEN, card=levels(256)), split(BYTES)) == 0  # control


# padding


LENGTHS = np.array([4, 1, 3, 2, 4, 1], np.int32)
OWN = np.arange(4) < LENGTHS[:, None]
SOUNDS = np.where(OWN, BYTES.reshape(-1)[:24].reshape(6, 4), 128).astype(np.uint8)[..., None]


def of_own_samples(counting=True):
    """Bits that grow with each sample that it counts."""

    def nll(variables, batch, key, train):
        own = jnp.arange(4) < batch["length"][:, None] if counting else jnp.ones((len(batch["x"]), 4))
        return {"nll": jnp.sum(own * (7 * jnp.log(2) + batch["x"][..., 0]), axis=1)}, variables

    return of(ramp, shape=(4, 1), nll=nll)


def test_padding_is_not_scored():
    source = split(SOUNDS, length=LENGTHS)
    found = evals.likelihood(source)(of_own_samples(), {}, KEY)
    assert found["nll"] / np.log(2) * 6 / LENGTHS.sum() == pytest.approx(
        evals.bits_per_sample(source)(of_own_samples(), {}, KEY)["bits/sample"]
    )
    levelled = dataclasses.replace(of_own_samples(), conditionals=views(256))
    assert bits_of(levelled, source) == pytest.approx(7 + np.mean(SOUNDS[OWN] / 255.0) / np.log(2), rel=1e-5)
    with pytest.raises(ValueError, match="counts the padding behind an example's own samples"):
        evals.likelihood(source)(of_own_samples(counting=False), {}, KEY)


def test_sounds_come_with_their_length(monkeypatch):
    def read(*, window=4):
        return {"test": {"x": SOUNDS, "label": LENGTHS, "length": LENGTHS}}

    protocol = dataclasses.replace(data.PROTOCOLS["spoken-digit"], read=read)
    monkeypatch.setattr(named, "PROTOCOLS", {"spoken-digit": protocol})
    assert set(data.load("spoken-digit", "test", batch_size=2).spec) == {"x", "length"}


def test_padding_is_not_calibrated():
    """Even levels are what the conditionals say; the silence behind them is not."""
    level = np.random.default_rng(0).integers(0, 4, (3_000, 6))
    lengths = np.random.default_rng(1).integers(1, 7, 3_000).astype(np.int32)
    x = (np.where(np.arange(6) < lengths[:, None], level, 2) / 3).astype(np.float32)[..., None]
    one = {"grid": (1, 6, 1), "logits": pure(lambda variables, batch: jnp.zeros((len(batch["x"]), 1, 6, 1, 4)))}
    model = of(ramp, shape=(6, 1), conditionals=dataclasses.replace(views(4), **one))
    given = {"batch_size": 500, "train": False}
    found = evals.calibration(data.from_arrays(x, **given, length=lengths), resamples=0)(model, {}, KEY)
    assert found["pit_ks"] < 0.02 and found["pit_ks/n"] == lengths.sum()
    assert evals.calibration(data.from_arrays(x, **given), resamples=0)(model, {}, KEY)["pit_ks"] > 0.1  # control


# strangers


def added(model, **units):
    def nelbo(variables, batch, key, train):
        terms, variables = model.nelbo(variables, batch, key, train=train)
        return {**terms, "sparsity": 100 * jnp.ones(len(batch["x"]))}, variables

    more = dataclasses.replace(model.nelbo, terms=nelbo, units={**model.nelbo.units, **units}, rest=None)
    return dataclasses.replace(model, density=dataclasses.replace(model.density, terms=more))


def test_a_number_added_to_a_bound_does_not_enter_it():
    model = models.vae(shape=(2, 3, 1), latent=1, hidden=(), likelihood=math.discretized_logistic(256))
    source = split(BYTES)
    variables = model.init(KEY, source.at(0))
    right = evals.likelihood(source)(model, variables, KEY)
    assert right["nelbo"] == pytest.approx(right["distortion"] + right["rate"])
    other = added(model)
    with pytest.warns(UserWarning, match="'sparsity' is no term of the model's likelihood, and does not enter it"):
        found = evals.likelihood(source)(other, variables, KEY)
    assert found == pytest.approx({**right, "sparsity": 100.0})
    each = evals.nats_per_example(other, variables, KEY, source)
    assert each.mean() == pytest.approx(right["nelbo"], rel=1e-5)
    looked_at = added(model, sparsity="look")  # no stranger: it says that it is none of the bound, and nothing is said
    assert evals.likelihood(source)(looked_at, variables, KEY) == pytest.approx({**right, "sparsity": 100.0})
    counts = added(model, sparsity="nats")  # control
    assert evals.likelihood(source)(counts, variables, KEY)["nelbo"] == pytest.approx(right["nelbo"] + 100)


@pytest.mark.parametrize("names", [("reconstruction", "kl"), ("distortion", "kl")])
def test_terms_of_ones_own_all_count(names):
    """The control: names that no shipped model has make a likelihood of their own."""
    source = split(BYTES, data.dequantize)
    right = evals.likelihood(source)(of(ramp), {}, KEY)["nll"]
    assert evals.likelihood(source)(of(ramp, names=names), {}, KEY)["nll"] == pytest.approx(right, rel=1e-6)


def test_what_is_stated_in_nats_counts_and_nothing_else():
    mine = Explained(terms=of(ramp).nll, units={"mine": "nats", "seen": "look"})
    assert counted_terms(mine, ["mine", "seen", "other"]) == (["mine"], ["other"])
    assert counted_terms(mine, ["yours", "other"]) == (["yours", "other"], [])  # of another model
    assert counted_terms(of(ramp).nll, ["nll", "l2"]) == (["nll", "l2"], [])  # the rest is in nats, too
    named = dataclasses.replace(EVEN, density=density(of(ramp).nll, units={"nll": "nats"}))
    assert counted_terms(wrap.dequantized(named).nelbo, ["nll", "dequantization", "l2"])[1] == ["l2"]


def test_the_unit_of_a_number_is_that_of_its_term():
    model = added(models.vae(shape=(2, 3, 1), latent=1, hidden=()), sparsity="look")
    found = {name: unit(model, f"test/{name}") for name in ("nelbo", "rate", "sparsity", "bits/dim", "nll")}
    assert found == {"nelbo": " nats", "rate": " nats", "sparsity": "", "bits/dim": "", "nll": ""}
    assert unit(dataclasses.replace(model, density=None), "test/nelbo") == ""


def test_bools_are_two_levels():
    """Of one's own arrays: 0 and 1 have the bits of two levels, and neither 17 levels nor a density has any."""
    own = data.from_arrays(BITS.astype(bool), batch_size=4, train=False)
    assert own.support == data.Support(levels=2)
    vae = models.vae(shape=(2, 3, 1), latent=2, hidden=(4,))
    assert "bits/dim" in evals.likelihood(own)(vae, vae.init(KEY, own.at(0)), KEY)
    grey = models.vae(shape=(2, 3, 1), latent=2, hidden=(4,), likelihood=math.discretized_logistic(17))
    for model in (grey, models.nice(shape=(2, 3, 1), layers=2, hidden=(4,))):
        with pytest.raises(ValueError, match="where these data have 2"):
            evals.likelihood(own)(model, model.init(KEY, own.at(0)), KEY)
