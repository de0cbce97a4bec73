"""Where a run's numbers go: sinks, all with the same three methods."""

import contextlib
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import rich.progress
from rich.console import Console
from rich.table import Column

from genjax_zoo.files import read_log, whole

Numbers = Mapping[str, float]


class Sink(Protocol):
    """Receives a run's metrics and evaluations."""

    def log(self, step: int, metrics: Numbers) -> None:
        """Means over the steps since the last log or save."""
        ...

    def show(self, step: int, numbers: Numbers, images: Mapping[str, Any]) -> None:
        """What the evaluations gave; images are [n, H, W, C] in [0, 1]."""
        ...

    def warn(self, step: int, sentence: str) -> None:
        """What an alarm says, or why the run ends."""
        ...

    def close(self) -> None:
        """The run is over."""
        ...


@contextlib.contextmanager
def closing(sinks: Sequence[Sink]) -> Iterator[None]:
    """Closes the sinks at the end, however it comes."""
    try:
        yield
    finally:
        for sink in sinks:
            sink.close()


class JsonLines:
    """metrics.jsonl: one line per log and per evaluation; null is a number that is not finite, as JSON has none."""

    def __init__(self, path: Path, *, start: int = 0):
        """Opens a file to append to.

        Args:
            path: the file.
            start: a run that resumes here drops what an earlier process logged past this step.
        """
        kept, bad = read_log(path)
        if path.exists():
            with whole(path) as unfinished:
                unfinished.write_text("".join(_line(row) for row in kept if row["step"] <= start))
        self._file = path.open("a", encoding="utf-8")
        if bad:
            self.warn(start, f"{bad} rows of {path} could not be read, and were left out.")

    def log(self, step: int, metrics: Numbers) -> None:
        self._write({"step": step, **metrics})

    def show(self, step: int, numbers: Numbers, images: Mapping[str, Any]) -> None:
        if numbers or images:
            self._write({"step": step, **{f"eval/{name}": value for name, value in numbers.items()}})

    def warn(self, step: int, sentence: str) -> None:
        self._write({"step": step, "warning": sentence})

    def close(self) -> None:
        self._file.close()

    def _write(self, row: Mapping[str, Any]) -> None:
        self._file.write(_line(row))
        self._file.flush()


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(_finite(row), allow_nan=False) + "\n"


def _finite(entry: Any) -> Any:
    """The entry with null for what is not finite."""
    if isinstance(entry, Mapping):
        return {name: _finite(one) for name, one in entry.items()}
    if isinstance(entry, list):
        return [_finite(one) for one in entry]
    return None if isinstance(entry, float) and not math.isfinite(entry) else entry


def read_evaluation(path: Path, step: int) -> Numbers | None:
    """What a run's evaluation of one step gave, by its metrics.jsonl; None if there was none."""
    rows = [row for row in read_log(path)[0] if row["step"] == step]
    rows = [row for row in rows if len(row) == 1 or any(name.startswith("eval/") for name in row)]  # or pictures alone
    entries = [(name, value) for row in rows for name, value in row.items() if isinstance(value, int | float)]
    return {name.removeprefix("eval/"): float(value) for name, value in entries if name != "step"} if rows else None


class History:
    """All numbers in memory."""

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()):
        """Begins with rows of an earlier metrics.jsonl."""
        self._rows: dict[int, dict[str, float]] = {}
        for row in rows:
            self._add(row["step"], row)

    def log(self, step: int, metrics: Numbers) -> None:
        self._add(step, metrics)

    def show(self, step: int, numbers: Numbers, images: Mapping[str, Any]) -> None:
        self._add(step, {f"eval/{name}": value for name, value in numbers.items()})

    def warn(self, step: int, sentence: str) -> None:
        """A sentence is no number."""

    def close(self) -> None:
        """Stays readable."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Its "step", int64 [n], increasing; and every number by name, float64 [n], NaN where a step has none."""
        steps = sorted(self._rows)
        names = dict.fromkeys(name for step in steps for name in self._rows[step])
        columns = {name: np.array([self._rows[step].get(name, math.nan) for step in steps]) for name in names}
        return {"step": np.array(steps, np.int64), **columns}

    def _add(self, step: int, numbers: Mapping[str, Any]) -> None:
        found = {n: float(v) for n, v in numbers.items() if n != "step" and isinstance(v, int | float)}
        if found:
            self._rows.setdefault(step, {}).update(found)


def is_watched() -> bool:
    """Whether standard output is a terminal or a notebook."""
    return Console().is_terminal or "ipykernel" in sys.modules


class Progress:
    """A bar with losses, steps/s, examples/s and the time left; plain lines where there is no terminal."""

    def __init__(self, console: Console, *, start: int, steps: int):
        self._console = console
        self._steps = steps
        one_line = Column(no_wrap=True)
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("step {task.completed:,.0f}/{task.total:,.0f}", table_column=one_line),
            rich.progress.BarColumn(bar_width=16),
            rich.progress.TextColumn("{task.fields[numbers]}", table_column=one_line),
            rich.progress.TimeRemainingColumn(),
            console=console,
            refresh_per_second=4,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=steps, completed=start, numbers="compiling")
        self._bar.start()
        if start >= steps:
            console.print(
                f"Nothing is left to train: step {start:,} is reached, of {steps:,}; more --steps go on.",
                highlight=False,
            )
        elif not console.is_terminal:
            console.print("Compiling the first step ...", highlight=False)

    def log(self, step: int, metrics: Numbers) -> None:
        losses = [f"{name.removesuffix('/loss')} {v:.4g}" for name, v in metrics.items() if name.endswith("/loss")]
        speed = metrics.get("steps/s")
        rates = f"{speed:,.1f} steps/s  {metrics['examples/s']:,.0f} examples/s" if speed else ""
        numbers = "  ".join([*losses, rates])
        self._bar.update(self._task, completed=step, numbers=numbers)
        if not self._console.is_terminal:
            left = f"  {(self._steps - step) / speed:,.0f} s left" if speed else ""
            self._console.print(
                f"step {step:,}/{self._steps:,}  {numbers}{left}", highlight=False, markup=False, soft_wrap=True
            )

    def show(self, step: int, numbers: Numbers, images: Mapping[str, Any]) -> None:
        if numbers:
            text = "  ".join(f"{name} {value:.4f}" for name, value in numbers.items())
            self._console.print(f"step {step:,}  {text}", highlight=False, markup=False, soft_wrap=True)

    def warn(self, step: int, sentence: str) -> None:
        self._console.print(
            f"step {step:,}  warning: {sentence}", highlight=False, markup=False, soft_wrap=True, style="yellow"
        )

    def close(self) -> None:
        self._bar.stop()
