"""A run that `fit` made from Python: who reads it, and what is said where its experiment is needed."""

import json

import jax
import jax.numpy as jnp
import optax
import pytest
from capable import density

from genjax_zoo import Experiment, Model, Player, cli, data, fit, restore


def experiment(*, width: int = 3, steps: int = 2, seed: int = 0, n: int = 16) -> Experiment:
    """One parameter of some width."""

    def terms(variables, batch, key, train):
        return {"loss": jnp.mean((batch["x"] - jnp.mean(variables["params"]["net"]["w"])) ** 2, axis=1)}, variables

    def init(key, batch):
        return {"params": {"net": {"w": jnp.zeros(width)}}}

    x = jnp.linspace(0, 1, 2 * n).reshape(n, 2)
    made = data.Resident(arrays={"x": x}, transform=lambda raw, keys: raw, batch_size=8, seed=0, train=True)
    model = Model(spec=made.spec, init=init, density=density(terms, exact=False))
    player = Player(terms=terms, weights={"loss": 1.0}, tx=optax.sgd(0.1))
    return Experiment(model=model, players={"p": player}, data=made, steps=steps, seed=seed)


def fitted(folder, **numbers):
    return fit(experiment(**numbers), workdir=folder, devices=jax.devices()[:1])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "mine"
    fitted(folder)
    return folder


def refused(capsys, *argv):
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        cli.console([str(word) for word in argv])
    return capsys.readouterr().err.strip()


def test_it_is_restored_with_its_experiment(run):
    for given in (experiment(), experiment):
        own, state = restore(run, experiment=given)
        assert int(state.step) == 2 and own.steps == 2
    config = json.loads((run / "config.json").read_text())
    assert config["experiment"] is None and config["flags"]["steps"] == 2 and config["history"][0]["versions"]
    assert not (run / "experiment.py").exists()


@pytest.mark.parametrize("command", ["sample", "eval", "latent", "compare"])
def test_a_command_says_that_it_has_no_experiment(run, capsys, command):
    sentence = f"was made by fit from Python: it has no experiment.py; read it with restore('{run}', experiment=...)."
    assert sentence in refused(capsys, command, run)


def test_it_has_a_page(run, capsys):
    cli.console(["report", str(run)])
    page = (run / "report.html").read_text()
    assert "p/loss" in page or ">loss<" in page
    assert "was made by fit from Python" in page and "experiments/None" not in page


@pytest.mark.parametrize(
    "numbers, sentence",
    [({"seed": 1}, "seed was 0 and is 1"), ({"width": 4}, r"the shape of net/w was \(3,\) and is \(4,\)")],
)
def test_another_experiment_is_refused(run, numbers, sentence):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for act in (lambda: fitted(run, steps=3, **numbers), lambda: restore(run, experiment=experiment(**numbers))):
        with pytest.raises(ValueError, match=f"was made by another experiment: {sentence}"):
            act()
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_it_goes_on_and_says_what_changed(tmp_path, capsys):
    fitted(tmp_path, steps=1)
    with pytest.warns(UserWarning, match="the shape of 'x' of 'data' was 16x2 and is 24x2"):
        fitted(tmp_path, steps=2, n=24)
    assert len(json.loads((tmp_path / "config.json").read_text())["history"]) == 2
    file = tmp_path / "mine.py"
    file.write_text("from test_run_of_fit import experiment\n")
    sentence = "was made by fit from Python, not by mine.py"
    assert sentence in refused(capsys, "train", file, "--workdir", tmp_path, "--steps", 4)
