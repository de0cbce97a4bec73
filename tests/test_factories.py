"""What the factories of the zoo agree on: one name for one thing, and docstrings that say what the models have."""

import ast
import functools
import inspect
import pydoc
import re
from pathlib import Path

import jax
import pytest
from cases import CASES

import genjax_zoo
from genjax_zoo import models
from genjax_zoo.core import Model, factory, networks, unit_of

VOCABULARY = {  # argument -> what its line says, wherever a factory has it
    "shape": r"\[H, W, C\]|the shape of x",
    "levels": r"levels of every number",
    "scales": r"half",
    "classes": r"how many classes .* 0 is (no label|refused)",
    "conditions": r"how many classes, or the shape of floats, by name; see nn\.conditions",
    "latent": r"the dimension of z|dimensions of z_1|channels of every z",
    "hidden": r"widths of|widths .* lead to it|hidden units",
    "critic_hidden": r"widths of the discriminator",
    "widths": r"channels (of|at)",
    "width": r"channels of",
    "features": r"channels|the dimension of a code|numbers of every token",
    "head_features": r"channels of",
    "prior_features": r"channels of",
    "layers": r"layers|couplings|convolutions|blocks",
    "prior_layers": r"layers of",
    "blocks": r"blocks",
    "steps": r"steps of flow",
    "unroll": r"compiled out at a time",
    "norm": r"the normalisation after|that of the discriminator",
    "edge_norm": r"that of",
    "normalised": r"whether",
    "activation": r"the function between",
    "likelihood": r"the observation model|the distribution of",
    "prior": r"the distribution of|a draw of z",
    "dropout": r"the share",
    "pack": r"examples that the discriminator sees at once",
    "kernel_init": r"the initializer",
    "size": r"rows and columns",
    "row_size": r"columns",
    "bins": r"bins",
    "bound": r"\[-bound, bound\]",
    "codes": r"codes in the code book",
    "decay": r"moving averages",
    "restart_below": r"the share",
    "pseudo_inputs": r"the components of the prior",
    "components": r"logistics",
    "pieces": r"linear functions",
    "groups": r"groups",
    "expansion": r"how many times as wide",
    "length": r"samples in an example",
    "block": r"dilations",
    "gates": r"channels of",
    "skip": r"channels of",
    "heads": r"attention heads",
    "direct": r"whether",
}


def lines(docstring: str) -> dict[str, str]:
    """The lines of a docstring's Args, by argument."""
    _, _, below = docstring.partition("Args:\n")
    found = re.findall(r"^    (\w+): (.*(?:\n        .*)*)", below.partition("Raises:")[0], flags=re.M)
    return {name: " ".join(text.split()) for name, text in found}


def strange(make) -> list[str]:
    """The arguments of a factory that have another name, or mean something else, than those of the others."""
    docstring = inspect.getdoc(make) or ""
    if (other := re.search(r"the arguments are those of `(\w+)`", docstring)) is not None:
        docstring = inspect.getdoc(models.MODELS[other[1]]) or ""
    said = lines(docstring)
    names = inspect.signature(make).parameters
    return [name for name in names if not re.search(VOCABULARY.get(name, "(?!)"), said.get(name, ""))]


def told(docstring: str) -> tuple[set[tuple[str, str]], set[str]]:
    """The terms with units, and the networks, that a docstring names."""
    _, _, after = docstring.partition("Network")
    return set(re.findall(r'"([\w<>]+)" \((\w+)\)', docstring)), set(
        re.findall(r'"([\w<>]+)"', after.partition("Args:")[0])
    )


def has(model: Model, batch) -> tuple[set[tuple[str, str]], set[str]]:
    """The terms with units, and the networks, that a model has; of several layers' only one is told."""
    variables = jax.eval_shape(model.init, jax.random.key(0), batch)
    named = set()
    if model.density is not None:
        of = functools.partial(model.density.terms, train=True)
        terms, _ = jax.eval_shape(of, variables, batch, jax.random.key(0))
        named = {(name, str(unit_of(model.density.terms, name))) for name in terms}
    return {(re.sub(r"_\d+$", "_<i>", name), unit) for name, unit in named}, {
        re.sub(r"_\d+$", "_<i>", name) for name in networks(variables)
    }


@pytest.mark.parametrize("name", models.MODELS)
def test_arguments_of_one_name_mean_one_thing(name):
    assert strange(models.MODELS[name]) == []


def test_a_name_for_something_else_is_noticed():
    def flow(*, shape, levels=3, scale_count=2):
        """A flow.

        Args:
            shape: an image's [H, W, C].
            levels: L, the scales.
            scale_count: how many.
        """

    assert strange(flow) == ["levels", "scale_count"]


@pytest.mark.parametrize("name", models.MODELS)
def test_a_docstring_names_terms_and_networks(name):
    case = CASES[name]()
    assert told(inspect.getdoc(models.MODELS[name]) or "") == has(case.model, case.batch)


def test_a_docstring_of_another_model_is_noticed():
    case = CASES["cvae"]()
    assert told(inspect.getdoc(models.vae) or "") != has(case.model, case.batch)


def test_an_argument_that_was_renamed_is_refused():
    with pytest.raises(ValueError, match="glow has no argument 'levels'; it has shape, scales, steps"):
        models.MODELS["glow"](shape=(8, 8, 1), levels=2)

    @factory("nobody")
    def mine(*, size: int = 1) -> Model:
        return Model(spec={}, init=lambda key, batch: {})

    assert mine(size=2).card.name == "mine"


def test_no_classes_are_no_label_or_refused():
    for name, make in models.MODELS.items():
        if "classes" in inspect.signature(make).parameters and name not in ("cvae", "projection_gan"):
            assert "label" not in make(shape=(8, 8, 1), classes=0).spec
    for name in ("cvae", "projection_gan"):
        with pytest.raises(ValueError, match="condition: classes=10|a label of one class or more"):
            models.MODELS[name](shape=(8, 8, 1), classes=0)
    assert set(models.cvae(shape=(4, 4, 1), classes=3, conditions={"context": (2,)}).spec) == {"x", "label", "context"}
    assert set(models.cvae(shape=(4, 4, 1), conditions={"context": (2,)}).spec) == {"x", "context"}


def test_dir_and_help_show_the_public_names():
    assert dir(genjax_zoo) == sorted(genjax_zoo.__all__)
    page = pydoc.plain(pydoc.render_doc(genjax_zoo))
    for name in genjax_zoo.__all__:
        assert re.search(rf"^    {name} +\w.* \w", page, flags=re.M), f"help(genjax_zoo) has no line for '{name}'"


def defined(*sources: str) -> list[str]:
    """The names that are defined at the top of modules, each as often as it is."""
    names = []
    for one in (statement for source in sources for statement in ast.parse(source).body):
        if isinstance(one, ast.FunctionDef | ast.ClassDef):
            names.append(one.name)
        elif isinstance(one, ast.Assign):
            names += [target.id for target in one.targets if isinstance(target, ast.Name)]
    return names


def twice(*sources: str) -> set[str]:
    """Of names that once had several meanings, those that have."""
    names = defined(*sources)
    return {
        name for name in ("Prior", "Protocol", "Shape", "Choose", "Cache", "Path", "Mapped") if names.count(name) > 1
    }


NO_NOUN = {"drawn", "lasting", "beginning", "told", "found", "absent", "checked", "given", "written", "moved", "beside"}
OTHERS = {"data/record.py": {"absent"}, "runs/building.py": {"found"}, "runs/members.py": {"written"}}


def test_one_name_is_one_thing_and_functions_are_verbs_or_nouns():
    root = Path(genjax_zoo.__file__).parent
    sources = {str(path.relative_to(root)): path.read_text() for path in root.rglob("*.py")}
    assert twice(*sources.values()) == set()
    for path, source in sources.items():
        assert not NO_NOUN.intersection(defined(source)) - OTHERS.get(path, set()), path


def test_a_second_meaning_is_noticed():
    assert twice("Shape = tuple[int, ...]", "class Shape: ...", "Prior = int") == {"Shape"}
