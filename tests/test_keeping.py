"""What a run keeps whatever ends it: a failing evaluation, a divergence, a kill, a damaged file; and how it goes on."""

import dataclasses
import json
import math
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scripted import alone, bits, logged, scripted, target

from genjax_zoo import cli, data, fit, restore
from genjax_zoo.core import Player
from genjax_zoo.runs import create_state_of
from genjax_zoo.train.checkpoint import Checkpoints, open_checkpoints
from genjax_zoo.train.finite import Diverged

WAY = [4.0, 1.0, 1.2, 3.0, 3.0, 2.0]


def saved(folder):
    return {int(path.name) for path in (folder / "checkpoints").glob("[0-9]*")}


def with_eval(experiment, run, **changes):
    """The experiment with one more evaluation, of the parameter's value."""
    one = lambda model, variables, key: run(variables["params"]["net"]["w"])  # noqa: E731
    return dataclasses.replace(experiment, evals={**experiment.evals, "mine": one}, **changes)


def broken_at(value, error):
    """An evaluation that fails where the parameter has a value."""

    def run(w):
        if abs(float(w) - value) < 1e-5:
            raise error
        return {}

    return run


@pytest.mark.parametrize(
    "run, sentence",
    (
        (lambda w: {}["label"], r"'mine' fails \(KeyError: 'label'\); mend it"),
        (lambda w: {"x": jnp.dot(jnp.ones((2, 3)), jnp.ones(2)) + w}, "'mine' fails .*dot"),
        (lambda w: {"x": w.nothing}, "'mine' fails .AttributeError"),
        (lambda w: [1], "'mine' fails .TypeError: it gives list"),
    ),
)
def test_an_evaluation_that_cannot_work_fails_before_the_first_step(tmp_path, run, sentence):
    with pytest.raises(ValueError, match=sentence):
        alone(with_eval(scripted(WAY), run), tmp_path)
    assert saved(tmp_path) == set() and not (tmp_path / "metrics.jsonl").exists()


@pytest.mark.parametrize(
    "run", (lambda w: {"x": f"{w:.3f}"}, lambda w: {"x": w.block_until_ready()}, lambda w: {"x": np.asarray(w).item()})
)
def test_an_evaluation_that_cannot_be_traced_is_none_that_fails(tmp_path, run):
    kept = []

    def keeping(w):
        kept.append(jnp.sum(jnp.ones(3)))  # as one does what is computed once
        return {**run(w), "kept": kept[0]}

    assert alone(with_eval(scripted(WAY[:2]), keeping), tmp_path).results["mine/kept"] == 3.0


@pytest.mark.parametrize("error", (ValueError("too dark"), SystemExit(), KeyboardInterrupt()))
@pytest.mark.parametrize("at", (3, 6))
def test_steps_are_kept_when_an_evaluation_ends_the_run(tmp_path, error, at):
    """Whatever raises: nothing is lost, the evaluation is done by the next start, and all is as if unbroken."""
    sparse = {"ema": 0.0, "save_every": 100, "eval_every": 3}
    whole = with_eval(scripted(WAY, **sparse), lambda w: {})
    unbroken = alone(whole, tmp_path / "a")
    value = WAY[at - 1]
    with pytest.raises(type(error), match="'mine' fails .too dark" if isinstance(error, ValueError) else None):
        alone(with_eval(scripted(WAY, **sparse), broken_at(value, error)), tmp_path / "b")
    assert max(saved(tmp_path / "b")) == at
    again = alone(whole, tmp_path / "b")
    assert bits(again.state) == bits(unbroken.state)
    assert (again.best_step, again.results) == (unbroken.best_step, unbroken.results)
    assert logged(tmp_path / "b") == logged(tmp_path / "a")


def test_a_finished_run_started_again_evaluates_nothing(tmp_path):
    first = alone(scripted(WAY), tmp_path)
    lines = (tmp_path / "metrics.jsonl").read_bytes()
    asked = []
    again = alone(with_eval(scripted(WAY), lambda w: asked.append(w) or {}), tmp_path)
    assert (again.results, again.best_step, asked) == (first.results, first.best_step, [])
    assert (tmp_path / "metrics.jsonl").read_bytes() == lines


def test_the_log_is_json_and_a_bad_row_stops_no_run(tmp_path):
    values = with_eval(scripted(WAY[:4], save_every=2), lambda w: {"x": jnp.log(w - 3.5), "y": jnp.inf})
    alone(values, tmp_path)
    path = tmp_path / "metrics.jsonl"

    def strict(constant):
        raise AssertionError(f"{constant} is no JSON")

    rows = [json.loads(line, parse_constant=strict) for line in path.read_text().splitlines()]
    assert [row["eval/mine/x"] is None for row in rows if "eval/mine/x" in row] == [False, True, True, True]
    good = path.read_bytes()
    path.write_bytes(good.replace(b"\n", b"\n\xff\xfe{}\n[1, 2]\n{}\n", 1) + b'{"step": 4, "cut')
    again = alone(dataclasses.replace(values, steps=6, players=scripted(WAY).players), tmp_path)
    assert int(again.state.step) == 6 and math.isnan(again.results["mine/x"])
    assert path.read_bytes().startswith(good)
    assert "3 rows of" in path.read_bytes()[len(good) :].splitlines()[0].decode()


def diverging(at, **changes):
    """A schedule that is NaN from a step on: neither loss nor gradient shows it."""
    whole = scripted(WAY, **{"save_every": 2, "eval_every": 100, **changes})
    player = dataclasses.replace(whole.players["p"], tx=optax.sgd(lambda step: jnp.where(step < at, 1.0, jnp.nan)))
    return dataclasses.replace(whole, players={"p": player}, best=None)


def test_what_is_saved_is_finite_and_the_sentence_says_what_is_left(tmp_path):
    with pytest.raises(
        Diverged, match=r"Step 3: 'update' .* \(first in net/w\)\. .* the last good .* is kept \(step 2\)"
    ) as told:
        alone(diverging(3), tmp_path / "a")
    assert f"--init-from {tmp_path / 'a'}@2" in str(told.value) and saved(tmp_path / "a") == {2}
    with pytest.raises(Diverged, match=r"Step 1: .* --fresh: no checkpoint was saved before\."):
        alone(diverging(1), tmp_path / "b")
    assert saved(tmp_path / "b") == set()
    with pytest.raises(Diverged, match=r"Step 0: .*\. Lower the learning rate or clip the gradients\.$"):
        fit(diverging(0), devices=jax.devices()[:1])
    on = alone(dataclasses.replace(scripted(WAY), best=None), None, init_from=f"{tmp_path / 'a'}@2")
    assert float(on.state.variables["params"]["net"]["w"]) == pytest.approx(WAY[1] + WAY[-1])  # WAY is one of steps


def test_data_that_are_not_finite_are_not_blamed_on_the_learning_rate():
    """A transform that gives NaN of one example, which comes at a later step."""
    rows = np.arange(64, dtype=np.float32)[:, None]
    read = data.from_arrays(
        rows,
        batch_size=8,
        resident=False,
        transform=lambda raw, keys: {"x": jnp.where(raw["x"] == late, jnp.nan, raw["x"])},
    )
    late = read.examples(3)[0]
    whole = dataclasses.replace(scripted(WAY, best=None), data=read)

    def terms(variables, batch, key, train):
        return {"away": variables["params"]["net"]["w"] * batch["x"][:, 0]}, variables

    player = Player(terms=terms, weights={"away": 1e-3}, tx=optax.sgd(1e-3))
    with pytest.raises(
        Diverged, match=rf"Step 3: 'away' .*, as the data are not: 'x' of example {late} is nan\. Repair"
    ):
        fit(dataclasses.replace(whole, players={"p": player}), devices=jax.devices()[:1])


def test_statistics_that_are_not_finite_are_told():
    """A network's other state is looked at as its parameters are."""
    whole = scripted(WAY)

    def terms(variables, batch, key, train):
        kept = {"mean": jnp.log(1 - variables["batch_stats"]["net"]["mean"])}  # 0 at first, then -inf
        found, _ = whole.players["p"].terms(variables, batch, key, train=train)
        return found, {**variables, "batch_stats": {"net": {"mean": kept["mean"] + 1}}}

    init = lambda key, batch: {**whole.model.init(key, batch), "batch_stats": {"net": {"mean": jnp.zeros(())}}}  # noqa: E731
    player = Player(terms=terms, weights=whole.players["p"].weights, tx=optax.sgd(1.0))
    broken = dataclasses.replace(whole, model=dataclasses.replace(whole.model, init=init), players={"p": player})
    with pytest.raises(Diverged, match=r"Step 1: 'update' of player 'p' .* \(first in batch_stats/net/mean\)"):
        fit(broken, devices=jax.devices()[:1])


def test_a_run_begins_with_anothers_networks(tmp_path):
    """Its averages, too, and where it is said its optimizer's state; the key, the step and the rest are its own."""
    momentum = optax.sgd(0.5, momentum=0.9)
    first = scripted(WAY)
    first = dataclasses.replace(first, players={"p": dataclasses.replace(first.players["p"], tx=momentum)})
    made = alone(first, tmp_path / "a")
    other = dataclasses.replace(first, seed=7, steps=1)
    fresh = create_state_of(other)
    none = dataclasses.replace(other, steps=1)
    for keep in (False, True):
        begun = alone(none, tmp_path / f"b{keep}", init_from=tmp_path / "a", keep_optimizer=keep).state
        by_hand = fresh._replace(variables=made.state.variables, ema=made.state.ema)
        by_hand = by_hand._replace(opt_state=made.state.opt_state) if keep else by_hand
        reference = alone(dataclasses.replace(none, model=handing_out(none.model, by_hand.variables)), None)
        if not keep:  # after a first step of the same key and gradient
            assert bits(begun.variables) == bits(reference.state.variables) and bits(begun.key) == bits(fresh.key)
        else:
            assert bits(begun.variables) != bits(reference.state.variables)
    assert int(begun.step) == 1
    with pytest.raises(ValueError, match=r"has no checkpoint '7'; there are latest, best, "):
        alone(none, None, init_from=f"{tmp_path / 'a'}@7")


def handing_out(model, variables):
    return dataclasses.replace(model, init=lambda key, batch: variables)


def test_what_init_hands_out_stays_its_owners(tmp_path):
    """A warm start hands out arrays that exist; training donates copies."""
    theirs = {"params": {"net": {"w": jnp.ones(())}}}
    whole = scripted(WAY)
    tx = optax.lookahead(optax.sgd(1.0), 2, 0.5)
    assert tx is not None
    fit(dataclasses.replace(whole, model=handing_out(whole.model, theirs)), devices=jax.devices()[:1])
    assert float(theirs["params"]["net"]["w"]) == 1.0


def test_going_on_from_an_earlier_checkpoint(tmp_path):
    sparse = {"ema": 0.0, "best": None}
    unbroken = alone(scripted(WAY, **sparse), tmp_path)
    lines = logged(tmp_path)
    assert saved(tmp_path) == {5, 6}
    again = alone(scripted(WAY, **sparse), tmp_path, checkpoint="5")
    assert bits(again.state) == bits(unbroken.state) and logged(tmp_path) == lines
    with pytest.raises(ValueError, match="has no checkpoint '3'; there are latest, best, 5, 6"):
        alone(scripted(WAY, **sparse), tmp_path, checkpoint="3")


def damages(folder):
    """Ways to harm each file of a checkpoint."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        yield path, content[: len(content) // 2]
        if content:
            middle = len(content) // 2
            yield path, content[:middle] + bytes([content[middle] ^ 0x10]) + content[middle + 1 :]


def test_a_damaged_checkpoint_is_put_aside_and_the_one_before_taken(tmp_path, capfd):
    """Whichever of its files is cut short, or has a bit flipped: what is restored is what was saved, at 5 or at 6."""
    unbroken = alone(scripted(WAY, best=None), tmp_path / "whole")
    five, six = (alone(scripted(WAY[:n], best=None), None).state for n in (5, 6))
    shapes, fell = target(six, 1), []
    for index, (path, content) in enumerate(damages(tmp_path / "whole/checkpoints/6")):
        run = tmp_path / str(index)
        shutil.copytree(tmp_path / "whole", run)
        (run / path.relative_to(tmp_path / "whole")).write_bytes(content)
        with Checkpoints(run / "checkpoints") as checkpoints:
            state, told = checkpoints.newest(shapes, 6)
        assert bits(state) == bits(five if told else six)
        if told:
            assert re.search(
                r"^Checkpoint 6 in .* is damaged .*: going on from step 5; it lies in .*damaged/6", told[0]
            )
            assert saved(run) == {5} and (run / "damaged/6").is_dir()
            fell.append(path)
    assert len(set(fell)) > 4 and capfd.readouterr().err == ""
    (tmp_path / "whole/checkpoints/6/record/metadata").write_text("{}")
    again = alone(scripted(WAY, best=None), tmp_path / "whole")
    assert bits(again.state) == bits(unbroken.state) and saved(tmp_path / "whole") == {5, 6}
    assert any("going on from step 5" in row.get("warning", "") for row in logged(tmp_path / "whole"))
    for step in (5, 6):
        (tmp_path / f"whole/checkpoints/{step}/record/metadata").write_text("{}")
    with pytest.raises(ValueError, match=r"Checkpoint 6 .* is damaged .*; take --checkpoint 5"):
        alone(scripted(WAY, best=None), tmp_path / "whole")
    assert saved(tmp_path / "whole") == {5, 6}  # nothing is lost


def test_what_ranks_a_checkpoint_is_held_to_its_digest(tmp_path):
    """The best stays where its rank cannot be read, and is not guessed at."""
    way = [5.0, 1.0, 4.0, 3.0, 2.0]
    assert alone(scripted(way, ema=0.0), tmp_path).best_step == 2
    rank = tmp_path / "checkpoints/2/rank.json"
    rank.write_text(rank.read_text().replace("1.0", "7.0"))
    with (
        open_checkpoints(tmp_path, best="test/w") as checkpoints,
        pytest.raises(ValueError, match=r"2/rank.json is damaged"),
    ):
        checkpoints.choose("best")
    assert int(alone(scripted([*way, 2.0, 2.0], ema=0.0), tmp_path).state.step) == 7
    assert saved(tmp_path) == {2, 5, 6, 7}


def test_a_reader_whose_checkpoint_its_trainer_removes_takes_the_next(tmp_path, monkeypatch):
    whole = scripted(WAY, best=None)
    alone(dataclasses.replace(whole, steps=3), tmp_path)
    choose = Checkpoints.choose

    def late(self, which):
        step = choose(self, which)
        if self._reading and 6 not in saved(tmp_path):
            alone(whole, tmp_path)  # and 3 is gone
        return step

    monkeypatch.setattr(Checkpoints, "choose", late)
    assert int(restore(tmp_path, experiment=whole)[1].step) == 6


def test_a_run_that_lost_its_checkpoints_is_not_begun_anew_without_a_word(tmp_path):
    alone(scripted(WAY), tmp_path)
    log = (tmp_path / "metrics.jsonl").read_bytes()
    shutil.rmtree(tmp_path / "checkpoints")
    with pytest.raises(ValueError, match="has a log of evaluations, but no checkpoint"):
        alone(scripted(WAY), tmp_path)
    assert (tmp_path / "metrics.jsonl").read_bytes() == log
    with pytest.raises(ValueError, match="has no checkpoint '500', nor any other"):
        alone(scripted(WAY), tmp_path / "other", checkpoint="500")


def test_a_picture_that_cannot_be_drawn_is_told_before_the_first_step(tmp_path):
    with pytest.raises(ValueError, match=r"'mine' gives 'x' of shape \(16, 3\), which is no picture"):
        alone(with_eval(scripted(WAY), lambda w: {"x": jnp.zeros((16, 3)) + w}), tmp_path)
    assert saved(tmp_path) == set()


def test_the_best_of_another_run_is_its_best(tmp_path):
    alone(scripted([5.0, 1.0, 4.0, 3.0], ema=0.0), tmp_path / "a")
    begun = alone(scripted([0.0], ema=0.0), None, init_from=f"{tmp_path / 'a'}@best")
    assert float(begun.state.variables["params"]["net"]["w"]) == 1.0
    alone(scripted([0.0], ema=0.0), tmp_path / "b", init_from=tmp_path / "a")
    shutil.rmtree(tmp_path / "a")
    alone(scripted([0.0, 0.0], ema=0.0), tmp_path / "b", init_from=tmp_path / "a")  # it is of the first start alone


@pytest.mark.parametrize(
    "flags, sentence",
    (
        (("--init-from", "nosuch"), "There is no folder nosuch"),
        (("--init-from", "run@2"), "from which --init-from would begin"),
        (("--checkpoint", "2"), "give one of them"),
        (("--fail", "1"), "The evaluation 'mine' fails"),
    ),
)
def test_nothing_is_removed_before_the_new_run_is_known_to_begin(tmp_path, monkeypatch, capsys, flags, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "from scripted import scripted\n\n\ndef experiment(*, fail: int = 0):\n"
        "    one = scripted([3.0, 2.0], best=None, save_every=2, eval_every=2)\n"
        "    one.evals['mine'] = lambda model, variables, key: {'x': 1 // (1 - fail)}\n    return one\n"
    )
    train = ["train", "mine.py", "--workdir", "run"]
    cli.console(train)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as ended:
        cli.console([*train, "--fresh", *flags])
    assert ended.value.code == 2 and sentence in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before
