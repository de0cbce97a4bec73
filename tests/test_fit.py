"""What `fit` shows and gives in a program or a notebook of one's own."""

import json
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax_zoo import Experiment, Model, Player, data, fit


def tiny(steps=6, evals=None, **settings):
    """One number that goes to 1; it is evaluated every third step, and logged every second."""
    digits = data.load("digits", "train", batch_size=16)

    def terms(variables, batch, key, train):
        return {"w": (variables["params"]["net"]["w"] - 1) ** 2 * jnp.ones(len(batch["x"]))}, variables

    def init(key, batch):
        return {"params": {"net": {"w": jnp.zeros(())}}}

    model = Model(spec=digits.spec, init=init)
    player = Player(terms=terms, weights={"w": 1.0}, tx=optax.sgd(0.1))
    evals = evals or {"test": lambda model, variables, key: {"w": variables["params"]["net"]["w"]}}
    made = {"model": model, "players": {"p": player}, "data": digits, "steps": steps, "evals": evals}
    return Experiment(**made, log_every=2, eval_every=3, **settings)


@pytest.mark.parametrize("kept", [True, False])
def test_a_result_has_a_history_of_arrays(kept, tmp_path):
    """A row of each step that was logged or evaluated; NaN where a number was not taken."""
    history = fit(tiny(), workdir=tmp_path / "run" if kept else None).history
    assert history["step"].tolist() == [2, 3, 4, 6] and history["step"].dtype == np.int64
    assert np.isnan(history["p/loss"]).tolist() == [False, True, False, False]
    assert np.isnan(history["eval/test/w"]).tolist() == [True, False, True, False]
    assert (np.diff(history["p/loss"][[0, 2, 3]]) < 0).all() and history["p/loss"].dtype == np.float64
    assert len(history) == len(set(history)) and {len(values) for values in history.values()} == {4}


def test_the_history_of_a_run_that_goes_on_is_whole(tmp_path):
    fit(tiny(4, save_every=2), workdir=tmp_path)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "warning": "a sentence"}\n{"step": 5, "p/loss": 1.0}\nhalf a li')
    history = fit(tiny(8), workdir=tmp_path).history
    assert history["step"].tolist() == [2, 3, 4, 6, 8]
    assert np.isfinite(history["p/loss"][[0, 2, 3, 4]]).all()


def test_a_result_is_shown_in_a_few_lines(tmp_path):
    text = repr(fit(tiny(), workdir=tmp_path / "mine"))
    assert len(text.splitlines()) <= 6 and max(map(len, text.splitlines())) <= 200
    assert all(word in text for word in ("step 6 in ", "mine", "test/w 0.7379", "p/loss"))
    assert "steps/s" not in repr(fit(tiny(), workdir=tmp_path / "mine")).partition("history")[0]


@pytest.mark.parametrize(
    "asked, terminal, kernel, shown",
    [
        (None, False, False, False),
        (None, True, False, True),
        (None, False, True, True),
        (True, False, False, True),
        (False, True, True, False),
    ],
)
@pytest.mark.parametrize("kept", [True, False])
def test_progress_is_shown_where_somebody_looks(asked, terminal, kernel, shown, kept, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    if kernel:
        monkeypatch.setitem(sys.modules, "ipykernel", sys)
    fit(tiny(), workdir=tmp_path / "run" if kept else None, progress=asked)
    assert ("6/6" in capsys.readouterr().out) == shown


def test_a_run_without_a_terminal_says_what_it_does_before_its_first_log(capsys):
    fit(tiny(), progress=True)
    first, *others = capsys.readouterr().out.splitlines()
    assert first == "Compiling the first step ..." and others[0].startswith("step 2/6")


def test_any_thread_may_train(tmp_path):
    """Two at once, pictures and checkpoints included: what each ends with is what the main thread ends with."""
    alone = fit(tiny(evals={"grid": lambda model, variables, key: {"x": np.ones((1, 8, 8, 1))}}))
    results = {}

    def train(name):
        experiment = tiny(evals={"grid": lambda model, variables, key: {"x": np.ones((1, 8, 8, 1))}})
        results[name] = fit(experiment, workdir=tmp_path / name, progress=True)

    threads = [threading.Thread(target=train, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in "ab":
        assert (tmp_path / name / "curves.png").exists() and (tmp_path / name / "x.png").exists()
        rows = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        assert rows[-1]["step"] == 6
        same = jax.tree.map(np.array_equal, results[name].state.variables, alone.state.variables)
        assert all(jax.tree.leaves(same))
