"""A start of an experiment: what `train` and `sweep` share, from the command line to what a run folder says of it."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from genjax_zoo.cli.flags import everything_of, load, parse_experiment
from genjax_zoo.errors import check_place


class Start:
    """An experiment's file and its flags, checked as far as can be before it is built."""

    def __init__(
        self,
        command: str,
        file: Path,
        words: Sequence[str],
        folder: Path,
        make: Callable[..., Any] | None = None,
        single: Sequence[str] | None = None,
    ):
        """Reads the flags.

        Args:
            command: its name.
            file: of the experiment.
            words: of the command line behind the file.
            folder: of the run, or of the runs of a sweep, where --workdir names none.
            make: the experiment's function, where it is loaded.
            single: the words of one run, where a sweep has others.
        """
        from genjax_zoo import runs

        self.file, self.command = file, [command, str(file), *words]
        self.make = make or load(file, words)
        own, self.run = parse_experiment(self.make, file, words if single is None else single, command, folder)
        self.folder = self.run.workdir or folder
        check_place(self.folder, "--workdir")
        self.flags = runs.at_home(self.folder, everything_of(own, self.run), fresh=self.run.fresh)
        self._read: dict[Path, Mapping[str, Any]] = {}

    @contextlib.contextmanager
    def building(self) -> Iterator[None]:
        """Around building the experiment, or those of a sweep: notes the data that are loaded."""
        from genjax_zoo import data, runs

        with data.note_loads() as seen, runs.rebuild_last(self.folder, fresh=self.run.fresh):
            yield
        self._loaded, self._conditions = data.describe(seen), data.examples(seen)

    def check(self, folder: Path, flags: Mapping[str, Any], experiment: Any) -> None:
        """Checks that `steps` and `seed` arrive in an experiment, and that it agrees with the run in its folder."""
        from genjax_zoo import runs

        runs.check_heard(self.make, flags, experiment)
        self._read[folder] = {**self._loaded, **runs.describe_data({}, experiment)}
        runs.check_run(
            folder,
            self.file,
            flags,
            untouched=runs.flags_at_default(self.make, self.flags),
            data=self._read[folder],
            fresh=self.run.fresh,
            accept_changes=self.run.accept_changes,
        )

    def write(self, folder: Path, flags: Mapping[str, Any], experiment: Any) -> None:
        """Writes down what was checked."""
        from genjax_zoo import runs

        known = {"data": self._read[folder], "conditions": self._conditions, "card": experiment.model.card}
        runs.write_run(folder, self.file, flags, command=self.command, **known)

    def longer(self, folder: Path) -> str:
        """What becomes of schedules where a run goes on to another last step, of which they are built; or nothing."""
        from genjax_zoo.runs import CONFIG, read_config

        before = read_config(folder)["flags"].get("steps") if (folder / CONFIG).exists() else None
        steps = self.flags.get("steps") or before
        if before is None or before == steps:
            return ""
        return f" Schedules are those of {steps:,} steps from here on; until here they were of {before:,}."
