"""Checkpoints with Orbax: asynchronous, atomic, best and latest kept, and a digest of every leaf.

Beside a state lie its record (see `digest`) and, once that step was evaluated, rank.json: the number that ranks it.
"""

import contextlib
import json
import math
import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint.checkpoint_manager import StepAlreadyExistsError

from genjax_zoo.core import PyTree
from genjax_zoo.errors import Missing, UserError
from genjax_zoo.files import telling, whole
from genjax_zoo.train.digest import Record, by_name, digests, open_seal, record, seal, shapes
from genjax_zoo.train.quiet import quiet

RANK = "rank.json"
DAMAGED = "damaged"  # the folder, beside that of the checkpoints, for those that cannot be read


class Damaged(UserError):
    """A checkpoint that cannot be read, or whose bits have changed."""

    def __init__(self, step: int, what: str, way: str):
        super().__init__(f"{what}; {way}.")
        self.step, self.what = step, what


_one_at_a_time = threading.Lock()  # Orbax numbers a process's saves: two that begin at once take each other's number


class Checkpoints:
    """The checkpoints of one run folder; close it, or use it in a `with`."""

    def __init__(self, folder: Path, *, best: str | None = None, reading: bool = False):
        """Opens a folder.

        Args:
            folder: created if missing; what a killed save left behind is removed.
            best: the metric whose smallest value keeps its checkpoint, besides the latest two; None, to a reader, is
                the one by which they were ranked.
            reading: only reads, so that a save which another process is writing stays as it is.
        """
        quiet()
        self._best, self._reading, self._folder = best, reading, folder.absolute()
        options = ocp.CheckpointManagerOptions(cleanup_tmp_directories=not reading, create=not reading)
        self._manager = ocp.CheckpointManager(self._folder, options=options)
        self.unranked: list[Path] = []  # files that should rank a step, and cannot be read
        self._ranked = {step: value for step in self.steps if (value := self._read_rank(step)) is not None}

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not (self._reading or kind):
            self.wait()
        with contextlib.suppress(Exception) if kind else contextlib.nullcontext():  # it was said already
            self.close()

    def close(self) -> None:
        """Ends what Orbax has begun."""
        self._manager.close()

    @property
    def run(self) -> Path:
        """The folder that the checkpoints' folder lies in."""
        return self._folder.parent

    @property
    def steps(self) -> list[int]:
        """The saved steps, in order."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, state: PyTree, metrics: Mapping[str, float] | None = None) -> None:
        """Saves a copy of the state in the background; `metrics` rank it, as `rank` does.

        Raises:
            orbax StepAlreadyExistsError: this step was saved before.
        """
        copy, found = _snapshot(state)
        self.wait()
        written = seal(record(state, found))
        args = ocp.args.Composite(state=ocp.args.StandardSave(copy), record=ocp.args.JsonSave(written))
        with _one_at_a_time, self._saving():
            saved = self._manager.save(step, args=args, force=True)
        assert saved, f"Orbax did not save step {step}"
        if metrics:
            self.rank(step, metrics)

    def rank(self, step: int, metrics: Mapping[str, float]) -> None:
        """Says what a saved step's evaluation gave; what is not finite never ranks."""
        value = metrics.get(self._best or "", math.nan)
        if math.isfinite(value):
            self.wait()
            if jax.process_index() == 0:
                with whole(self._folder / str(step) / RANK) as unfinished:
                    unfinished.write_text(json.dumps(seal({self._best or "": value})) + "\n")
            self._ranked[step] = value

    def wait(self) -> None:
        """Returns when everything is on disk, and what need not be kept is gone."""
        with self._saving():
            self._manager.wait_until_finished()
        unknown = {int(path.parent.name) for path in self.unranked}
        for step in set(self.steps) - {*self.steps[-2:], self.best_step(), *unknown}:
            self._manager.delete(step)

    @contextlib.contextmanager
    def _saving(self) -> Iterator[None]:
        try:
            yield
        except StepAlreadyExistsError:
            raise
        except (OSError, ValueError, RuntimeError) as error:
            full = "No space left" in str(error) or "RESOURCE_EXHAUSTED" in str(error)
            said = "no space is left on the device" if full else _first_line(error)
            raise UserError(
                f"Cannot save a checkpoint in {self._folder}: {said}; what was saved before stays. Mend that, and "
                f"run the same command to go on."
            ) from error

    def drop_after(self, step: int) -> None:
        """Deletes what was saved later than a step, and what pages have drawn of it."""
        for later in [saved for saved in self.steps if saved > step]:
            self._manager.delete(later)
            for drawn in (self.run / "page").glob(f"*-{later:07d}.png"):
                drawn.unlink(missing_ok=True)

    def best_step(self) -> int | None:
        """The step with the smallest best metric, or None."""
        ranked = {step: value for step, value in self._ranked.items() if step in self._manager.all_steps()}
        return min(ranked, key=ranked.__getitem__) if ranked else None

    def choose(self, which: str) -> int:
        """The step that "latest", "best" or a number names.

        Raises:
            UserError: there is no such checkpoint; or the best is asked for, and what ranks one cannot be read.
        """
        steps = self.steps
        if which == "best" and self.unranked:
            raise UserError(f"{self.unranked[0]} is damaged; take --checkpoint latest or a step, or delete that file.")
        if which == "best" and self.best_step() is None:
            telling.get()(
                f"No checkpoint of the run {self.run} is ranked (see Experiment's best=); this is the latest."
            )
        choices = {"latest": steps[-1], "best": self.best_step() or steps[-1], **{str(s): s for s in steps}}
        if which not in choices:
            raise UserError(f"The run {self.run} has no checkpoint '{which}'; there are {', '.join(choices)}.")
        return choices[which]

    def restore(self, step: int, target: PyTree) -> PyTree:
        """The state of a saved step.

        Args:
            step: one of `steps`.
            target: jax.ShapeDtypeStruct leaves with a sharding on each; any number of devices.

        Raises:
            Damaged: it cannot be read, or its bits have changed.
            UserError: it has another structure.
        """
        saved = {name: tuple(shape) for name, (shape, _) in self._record(step).items()}
        wanted = shapes(target)
        other = [name for name in {**wanted, **saved} if saved.get(name) != wanted.get(name)]
        if other:
            there, here = (of.get(other[0], "not") for of in (saved, wanted))
            raise UserError(
                f"Cannot restore checkpoint {step} in {self._folder}: of {len(other)} leaves that differ, '{other[0]}' "
                f"is {there} in it, and {here} in the model; restore it with the model that it was made by."
            )
        return self._read(step, target)

    def read(self, step: int) -> dict[str, jax.Array]:
        """The leaves of a saved step by name, "variables/params/encoder/out/bias", whatever model they are of.

        Raises:
            Damaged: it cannot be read, or its bits have changed.
        """
        alone = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        try:
            saved = ocp.StandardCheckpointHandler().metadata(epath.Path(self._folder) / str(step) / "state").tree
        except Exception as error:
            raise self._damaged(step, error) from error
        return by_name(
            self._read(step, jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=alone), saved))
        )

    def newest(self, target: PyTree, last: int) -> tuple[PyTree, list[str]]:
        """The state of the newest sound checkpoint up to a step, and what is to be said of others, which are put aside.

        Raises:
            Damaged: all are; they stay where they are.
            UserError: it has another structure.
        """
        damaged: list[Damaged] = []
        for step in [step for step in reversed(self.steps) if step <= last]:
            try:
                state = self.restore(step, target)
            except Damaged as error:
                damaged.append(error)
                continue
            return state, [
                f"{error.what}: going on from step {step:,}; {self.put_aside(error.step)}" for error in damaged
            ]
        raise damaged[0]

    def put_aside(self, step: int) -> str:
        """Moves a checkpoint out of the way, and says where to."""
        aside = self._folder.with_name(DAMAGED) / str(step)
        if jax.process_index() == 0:
            shutil.rmtree(aside, ignore_errors=True)
            aside.parent.mkdir(exist_ok=True)
            (self._folder / str(step)).rename(aside)
        self._manager.reload()
        return f"it lies in {aside} now."

    def _read(self, step: int, target: PyTree) -> PyTree:
        try:
            args = ocp.args.Composite(state=ocp.args.StandardRestore(target))
            restored: Any = self._manager.restore(step, args=args)
            state = restored.state
        except Exception as error:  # Orbax's own message can be hundreds of lines
            raise self._damaged(step, error) from error
        saved = self._record(step)
        for name, (_, digest) in record(state, digests(state)).items():
            if saved[name][1] != digest:
                raise self._damaged(step, f"the bits of '{name}' have changed since it was saved")
        return state

    def _record(self, step: int) -> Record:
        try:
            restored: Any = self._manager.restore(step, args=ocp.args.Composite(record=ocp.args.JsonRestore()))
            return open_seal(restored.record)
        except Exception as error:
            raise self._damaged(step, error) from error

    def _read_rank(self, step: int) -> float | None:
        path = self._folder / str(step) / RANK
        try:
            ranks = open_seal(json.loads(path.read_text()))
            return ranks.get(self._best) if self._best else next(iter(ranks.values()), None)
        except FileNotFoundError:
            return None
        except ValueError:
            self.unranked.append(path)
            return None

    def _damaged(self, step: int, reason: Exception | str) -> Damaged:
        said = _first_line(reason)
        others = sorted((other for other in self.steps if other != step), key=lambda other: (other < step, other))
        way = f"take --checkpoint {others[-1]}" if others else "take another run, or --fresh to start anew"
        return Damaged(step, f"Checkpoint {step} in {self._folder} is damaged ({said})", way)


def _first_line(reason: Exception | str) -> str:
    return str(reason).strip().splitlines()[0][:200] if str(reason).strip() else type(reason).__name__


def open_checkpoints(run: Path, *, best: str | None = None) -> Checkpoints:
    """The checkpoints of a run, to read.

    Raises:
        FileNotFoundError: it has none yet.
    """
    if not run.is_dir():
        raise Missing(f"There is no folder {run}; name that of a run.")
    none = Missing(f"The run {run} has no checkpoint yet; let 'genjax-zoo train' reach one.")
    if not (run / "checkpoints").is_dir():
        raise none
    checkpoints = Checkpoints(run / "checkpoints", best=best, reading=True)
    if not checkpoints.steps:
        checkpoints.close()
        raise none
    return checkpoints


@jax.jit
def _snapshot(state: PyTree) -> tuple[PyTree, PyTree]:
    """A copy, which donation cannot overwrite while it is being written to disk, and its digests."""
    return jax.tree.map(jnp.copy, state), digests(state)
