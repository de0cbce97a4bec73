"""A run in training: where it is kept and told, and what it has come to. The loop trains one, or a sweep's members."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from genjax_zoo.core import Experiment, TrainState
from genjax_zoo.data.arrays import REPAIR
from genjax_zoo.train.border import not_finite_at
from genjax_zoo.train.checkpoint import Checkpoints
from genjax_zoo.train.evaluating import evaluate, sound_alarms
from genjax_zoo.train.finite import Diverged
from genjax_zoo.train.interrupts import Interrupts
from genjax_zoo.train.log import Sink

MEND = "Lower the learning rate or clip the gradients"


@dataclasses.dataclass
class Run:
    """One run in training."""

    experiment: Experiment
    checkpoints: Checkpoints | None = None  # where to save, if anywhere
    sinks: Sequence[Sink] = ()  # receive metrics and evaluations
    results: Mapping[str, float] | None = None  # of the last evaluation; None: the state it begins with had none yet
    on_leaving: Callable[[str], None] | None = None  # receives the sentence of a divergence; None: it is raised
    left: str = ""  # that sentence, once it has diverged: it is neither looked at nor kept any more
    saved: int = 0  # the step of the last state that is saved, or was begun with
    numbers: dict[str, float] = dataclasses.field(default_factory=dict)  # by name, the last that were taken

    def log(self, step: int) -> None:
        """Tells the sinks the numbers, and what the alarms say of them."""
        for sink in self.sinks:
            sink.log(step, self.numbers)
        sound_alarms(self.experiment, step, self.numbers, self.sinks)

    def save(self, step: int, state: TrainState) -> None:
        """Saves a state, unless its step is saved, or it was begun with."""
        if self.checkpoints and step > self.saved:
            self.checkpoints.save(step, state)
            self.saved = step

    def judge(self, step: int, state: TrainState, interrupted: Interrupts) -> None:
        """Evaluates a state that is on disk, so that this may be left at any point."""
        self.save(step, state)
        if self.checkpoints:
            self.checkpoints.wait()
        with interrupted.at_once():
            self.results = evaluate(self.experiment, state, self.sinks)
        if self.checkpoints:
            self.checkpoints.rank(step, self.results)

    def leave(self, step: int, error: Diverged) -> None:
        """Says why it diverged, what is left and the way on, to the sinks, too.

        Args:
            step: at which that was found.
            error: says which step, and what, was not finite.

        Raises:
            Diverged: with that sentence, unless `on_leaving` takes it.
        """
        what = str(error).removeprefix(f"Step {error.step}: ")
        of_data = not_finite_at(self.experiment.data, error.step)
        mend = f"{what}, as the data are not: {of_data}. {REPAIR.capitalize()}" if of_data else f"{what}. {MEND}"
        whole = Diverged(error.step, f"{mend}{self._kept()}.")
        self.left = str(whole)
        for sink in self.sinks:
            sink.warn(step, self.left)
        if self.on_leaving is None:
            raise whole from None
        self.on_leaving(self.left)

    def _kept(self) -> str:
        """What is left after a divergence, and the way on."""
        if self.checkpoints and self.saved:
            way = f"another --workdir and --init-from {self.checkpoints.run}@{self.saved}"
            return f", and go on with {way}: the last good checkpoint is kept (step {self.saved:,})"
        return ", and start anew with --fresh: no checkpoint was saved before" if self.checkpoints else ""
