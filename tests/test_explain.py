"""Every term of every model and every experiment is said as a formula, in plain text."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES

from genjax_zoo import cli, data, losses, math, models, runs, wrap
from genjax_zoo.core import formulas, unit_of
from genjax_zoo.train.players import weights_of
from genjax_zoo.wrap.precision import half_precision

ROOT = Path(__file__).parent.parent
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.py"))


@pytest.fixture
def stand_ins(monkeypatch):
    """Grey levels, labels and lengths of no set at all: explaining needs no files."""
    load = data.load

    def digits(name, split="train", *, batch_size, conditions=(), **_):
        loaded = load("digits", "train", batch_size=16, conditions=("label",) if "label" in conditions else ())
        return loaded if "length" not in conditions else Spoken(loaded)

    class Spoken:
        def __init__(self, loaded):
            self.loaded = loaded
            self.spec = {**loaded.spec, "length": jax.ShapeDtypeStruct((), jnp.int32)}

        def __getattr__(self, name):
            return getattr(self.loaded, name)

    monkeypatch.setattr(data, "load", digits)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_no_term_of_an_experiment_is_without_a_formula(path, stand_ins, capsys):
    make = runs.load_experiment(path)
    experiment = runs.build(make, {name: one.default for name, one in runs.parameters(make).items()})
    cli.console(["explain", str(path)])
    out = capsys.readouterr().out
    assert out.partition("\n")[2].isascii()  # an author may have another name
    for player in experiment.players.values():
        said = formulas(player.terms)
        weights = weights_of(player, said)
        assert weights and weights.keys() <= said.keys()
        units = {term: " [nats]" if unit_of(player.terms, term) == "nats" else "" for term in said}
        assert all(f" * {term}{units[term]}: {said[term]}\n" in out for term in weights)
    card = experiment.model.card
    if "classifier" not in path.stem:
        assert out.startswith(f"{card.name} ({card.family}), {card.paper}")


@pytest.mark.parametrize("name", CASES)
def test_a_models_formulas_are_of_its_terms(name):
    """No term is left out, and none is said that is not there, alone, in bfloat16 and with a condition fixed."""
    case = CASES[name]()
    key, spec = jax.random.key(0), jax.tree.map(lambda x: jax.ShapeDtypeStruct(jnp.shape(x), x.dtype), dict(case.batch))
    variables = jax.eval_shape(case.model.init, key, spec)
    if case.model.density is not None:
        terms = case.model.density.terms
        named, _ = jax.eval_shape(lambda v, batch: terms(v, batch, key), variables, spec)
        said = formulas(terms)
        assert named.keys() <= said.keys() and "" not in said.values()
        assert formulas(half_precision(terms)) == said


def small(**settings):
    return models.vae(shape=(8, 8, 1), latent=2, hidden=(4,), **settings)


@pytest.mark.parametrize(
    "terms, said",
    [
        (
            wrap.logit_space(small(likelihood=math.gaussian())).nelbo,
            {"logit": "-log |det dy/dx|, the others are of y = logit(1e-06 + 0.999998 x)"},
        ),
        (
            wrap.scaled(small(likelihood=math.gaussian()), shift=0.5, scale=2.0).nelbo,
            {"scale": "-64 log 2, the others are of y = (x - 0.5) * 2"},
        ),
        (
            wrap.dequantized(small(likelihood=math.gaussian()), 17).nelbo,
            {"dequantization": "64 log 17, the others are of x = (level + u) / 17"},
        ),
        (losses.free_bits(small().nelbo, 0.5), {"rate": "max(0.5, KL(q(z | x) || p(z)))"}),
        (losses.importance_weighted(small(), k=5), {"iw_nelbo": "-log(1/5 sum_j p(x, z_j) / q(z_j | x))"}),
        (wrap.conditioned(models.cvae(shape=(8, 8, 1)), label=3).nelbo, {"rate": "KL(q(z | x) || p(z))"}),
        (
            models.iwae(shape=(8, 8, 1)).nelbo,
            {"rate_1": "log q(z_1 | x) - log p(z_1 | z_2)", "rate_2": "KL(q(z_2 | z_1)"},
        ),
        (models.ladder_vae(shape=(8, 8, 1), layers=2).nelbo, {"rate_1": "KL(q(z_1 | x, z_2) || p(z_1 | z_2))"}),
    ],
)
def test_what_is_made_of_terms_keeps_and_adds_formulas(terms, said):
    found = formulas(terms)
    assert all(found[name].startswith(text) for name, text in said.items())


def test_the_formulas_of_a_flow_and_its_wrapping_are_its_numbers():
    """By hand, from the parts that they name."""
    model = wrap.scaled(models.nice(shape=(4,), layers=2, hidden=(4,)), shift=0.5, scale=2.0)
    x = jnp.linspace(0, 1, 12).reshape(3, 4)
    variables = model.init(jax.random.key(0), {"x": x})
    terms, _ = model.nll(variables, {"x": x}, jax.random.key(1))
    assert formulas(model.nll)["scale"] == "-4 log 2, the others are of y = (x - 0.5) * 2"
    np.testing.assert_allclose(terms["scale"], -4 * np.log(2), rtol=1e-6)
    z = model.encode(variables, {"x": x}, jax.random.key(1))
    assert formulas(model.nll)["prior"] == "-log p(z), z = f(x)"
    np.testing.assert_allclose(terms["prior"], math.logistic.nll(z), rtol=1e-5)


def test_a_condition_is_named(capsys):
    cli.console(["explain", str(ROOT / "experiments/cvae_digits.py")])
    assert capsys.readouterr().out.splitlines()[-1] == "All is given label."
