"""A run's folder: what made it, whether a start may go on with it, and which process may write to it.

A start checks first, and writes when the run is restored: a refused start leaves every byte as it was.
"""

import contextlib
import importlib.metadata
import json
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock
import jax
import numpy as np

from genjax_zoo.core import Card
from genjax_zoo.data import changes
from genjax_zoo.errors import Missing, UserError
from genjax_zoo.files import whole
from genjax_zoo.runs.naming import members_of, sentence_about
from genjax_zoo.runs.source import MODULES, SOURCE, difference, modules_beside

CONFIG = "config.json"
CONDITIONS = "conditions.npz"  # of the data, for draws without them
LOCK = "train.lock"  # of the process that trains
MAY_CHANGE = {"steps", "steps_per_call", "save_every", "eval_every", "log_every", "backend", "data_dir"}  # on resuming
BEGINNING = {"init_from", "keep_optimizer"}  # flags that matter to a run's first start alone
KINDS = {  # of the entries of config.json
    "experiment": lambda entry: entry is None or isinstance(entry, str),
    "flags": lambda entry: isinstance(entry, dict) and isinstance(entry.get("data_dir"), str | None),
    "history": lambda entry: isinstance(entry, list) and all(_is_start(one) for one in entry),
    "card": lambda entry: isinstance(entry, dict),
    "data": lambda entry: isinstance(entry, dict) and all(_is_read(one) for one in entry.values()),
}
PACKAGES = ("genjax-zoo", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
MADE = (CONFIG, SOURCE, CONDITIONS, "metrics.jsonl", "scores.json", "report.html", "left", "curves.png")
DRAWN = re.compile(r"samples(-\d+)*\.(png|npy|wav)")  # by training, and by `sample`
MADE_FOLDERS = (MODULES, "checkpoints", "damaged", "pictures", "page", "latent", "tensorboard", "wandb")


def open_run(folder: Path, source: Path, flags: Mapping[str, Any], *, fresh: bool = False) -> None:
    """Checks, and writes at once; see `check_run` and `write_run`."""
    check_run(folder, source, flags, fresh=fresh)
    if fresh:
        clear_run(folder, source)
    with only_trainer(folder):
        write_run(folder, source, flags)


def check_run(
    folder: Path,
    source: Path,
    flags: Mapping[str, Any],
    *,
    untouched: Collection[str] = (),
    data: Mapping[str, Any] | None = None,
    fresh: bool = False,
    accept_changes: bool = False,
) -> None:
    """Checks that a start agrees with the run in the folder, or that there is none.

    Args:
        folder: the run folder.
        source: the experiment's file.
        flags: all of its flags, resolved.
        untouched: flags that have the experiment's own defaults.
        data: what was read, as `data.describe` says it.
        fresh: an earlier run may be another, if nobody trains it; see `clear_run`.
        accept_changes: goes on although the experiment's file, a module beside it, or the data have changed; flags that
            are new in the file have its defaults then.

    Raises:
        UserError: the folder holds a run of another experiment, another file or other flags, one that another process
            trains, or something that is no run.
    """
    if not (folder / CONFIG).exists():
        if members := members_of(folder):
            raise UserError(f"{sentence_about(folder, members)}, or another --workdir.")
        strangers = sorted(path.name for path in folder.iterdir() if not _begun(path)) if folder.is_dir() else []
        if strangers or folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is not empty and holds no run; name another --workdir.")
        return
    config = read_config(folder)
    if fresh:
        with only_trainer(folder):
            return
    if config["experiment"] is None:
        raise UserError(
            f"The run {folder} was made by fit from Python, not by {source.name}; "
            f"name another --workdir, or --fresh to start anew."
        )
    old, flags = config["flags"], as_read(flags)
    may = MAY_CHANGE | BEGINNING
    if accept_changes:  # the file's own new arguments
        may |= {name for name in untouched if old.get(name) is None}
    changed = [
        f"{name} was {old.get(name)!r} and is {flags[name]!r}"
        if name in flags
        else f"{name} was {old[name]!r}, and {source.name} has no such argument: give it one"
        for name in sorted(set(old) | set(flags))
        if name not in may and old.get(name) != flags.get(name)
    ]
    if changed:
        raise UserError(
            f"The run {folder} was made by other flags: {'; '.join(changed)}. "
            f"Use those flags, another --workdir (--init-from {folder} gives its networks), or --fresh to start anew."
        )
    advice = "Take --accept-changes to go on with it, another --workdir, or --fresh to start anew."
    change = "" if accept_changes else changes(config.get("data", {}), data or {})
    if change:
        raise UserError(f"The data have changed since the run {folder} began: {change}. {advice}")
    kept = folder / SOURCE
    if kept.resolve() == source.resolve():
        return
    if config["experiment"] != source.name:
        raise UserError(
            f"The run {folder} was made by {config['experiment']}, not by {source.name}; "
            f"name another --workdir, or --fresh to start anew."
        )
    if not kept.exists():
        return
    now = modules_beside(source)
    pairs = [(kept, source)]
    pairs += [(path, now[name]) for name, path in modules_beside(kept).items() if name in now]
    for old, new in pairs if not accept_changes else ():
        if change := difference(*(path.read_text(errors="replace") for path in (old, new))):
            raise UserError(f"{new} has changed since the run {folder} began: {change}. {advice}")


def clear_run(folder: Path, source: Path) -> None:
    """Removes the run in a folder, if there is one; files that no run makes stay, and the experiment's file.

    Raises:
        UserError: another process trains it.
    """
    if (folder / CONFIG).exists():
        with only_trainer(folder):
            _clear(folder, but=source)


def write_run(
    folder: Path,
    source: Path,
    flags: Mapping[str, Any],
    *,
    command: Sequence[str] = (),
    data: Mapping[str, Any] | None = None,
    conditions: Mapping[str, np.ndarray] | None = None,
    card: Card | None = None,
) -> None:
    """Writes config.json, with one start more in its history, and then copies of the experiment's file and modules.

    Args:
        folder: the run folder.
        source: the experiment's file.
        flags: all of its flags, resolved.
        command: the words of the command line behind the program's name.
        data: what was read, as `data.describe` says it.
        conditions: what draws need when the data are gone, from `data.examples`.
        card: the model's.
    """
    config = read_config(folder) if (folder / CONFIG).exists() else {"experiment": source.name, "history": []}
    config = {**config, **origins(config, card)}
    begun = {name: value for name, value in config.get("flags", {}).items() if name in BEGINNING}
    config = {**config, "flags": as_read(flags) | begun, "data": dict(data or {})}
    config["history"] = [*config["history"], {**provenance(source), "command": list(command)}]
    modules = {folder / MODULES / name: path.read_bytes() for name, path in modules_beside(source).items()}
    files = {**modules, folder / SOURCE: source.read_bytes()}  # the experiment's last: where it is, all is
    write_config(folder, config)
    if conditions:
        with whole(folder / CONDITIONS) as unfinished:
            np.savez_compressed(unfinished, **conditions)  # type: ignore[arg-type]
    for path, code in files.items():
        with whole(path) as unfinished:
            unfinished.write_bytes(code)
    for left in set((folder / MODULES).rglob("*.py")) - files.keys():
        left.unlink()


def origins(config: Mapping[str, Any], card: Card | None) -> dict[str, Any]:
    """What config.json says of where a run is from: the directory of its first start, and its model's card.

    What is frozen in a model is what the first start found: it is in the checkpoints since.
    """
    said: dict[str, Any] = {"directory": config.get("directory") or str(Path.cwd())}
    if card is None:
        return said
    known = config.get("card") or {}
    frozen = known.get("frozen") or list(card.frozen)
    return {**said, "card": {"name": card.name, "family": card.family, "paper": card.paper, "frozen": frozen}}


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Writes config.json, whole or not at all."""
    with whole(folder / CONFIG) as unfinished:
        unfinished.write_text(json.dumps(config, indent=2) + "\n")


@contextlib.contextmanager
def only_trainer(folder: Path) -> Iterator[None]:
    """Holds the folder, made if missing, for the one process that trains in it; a process that died holds nothing.

    Raises:
        UserError: another process trains in it.
    """
    if jax.process_index() > 0:  # the first process holds it for all
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise UserError(f"Another process trains in {folder}; wait for it, or name another --workdir.") from None
    try:
        yield
    finally:
        lock.release()


def read_config(folder: Path) -> Mapping[str, Any]:
    """The config.json of a run.

    Raises:
        FileNotFoundError: the folder holds no run.
        UserError: its config.json is not one that `train` wrote.
    """
    try:
        config = json.loads((folder / CONFIG).read_text())
    except (FileNotFoundError, NotADirectoryError):
        if members := members_of(folder):
            raise Missing(f"{sentence_about(folder, members)}.") from None
        raise Missing(f"{folder} holds no run (it has no {CONFIG}); name a folder that 'train' made.") from None
    except ValueError as error:
        raise UserError(f"{folder / CONFIG} cannot be read ({error}); mend it, or take another folder.") from None
    if not isinstance(config, dict) or not {"experiment", "flags", "history"} <= config.keys():
        raise UserError(f"{folder} holds no run: its {CONFIG} is of something else; name another folder.")
    if wrong := [name for name, fits in KINDS.items() if name in config and not fits(config[name])]:
        raise UserError(f"{folder / CONFIG} is damaged at '{wrong[0]}'; mend it, or take another folder.")
    return config


def _is_read(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("arrays"), dict)


def _is_start(entry: Any) -> bool:
    kinds = {"commit": str | None, "versions": dict, "python": str, "devices": str, "command": list}
    return isinstance(entry, dict) and all(isinstance(entry[name], kinds[name]) for name in kinds.keys() & entry.keys())


def provenance(source: Path) -> dict[str, Any]:
    """What a number's row in a table needs: versions, commit, machine."""
    installed = {d.metadata["Name"] for d in importlib.metadata.distributions()}
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=source.parent, capture_output=True, text=True
    )
    return {
        "commit": git.stdout.strip() if git.returncode == 0 else None,
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES if name in installed},
        "python": platform.python_version(),
        "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
    }


def as_read(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Flags as config.json gives them back: being JSON, it knows lists alone."""
    return json.loads(json.dumps(dict(flags)))


def _begun(path: Path) -> bool:
    """Whether this is what a start leaves that ended before its first word: its lock, and no checkpoint."""
    unfinished = path.name in (LOCK, f"{Path(CONFIG).stem}.tmp.json")
    return unfinished or path.name == "checkpoints" and not any(one.name.isdigit() for one in path.iterdir())


def _clear(folder: Path, but: Path) -> None:
    """Removes what a run makes, but for the experiment's own files and what is not a run's: all of it, or nothing."""
    pictures = {re.sub(r"-\d+$", "", path.stem) + ".png" for path in (folder / "pictures").glob("*.png")}
    ours = {folder / name for name in (*MADE, *MADE_FOLDERS, *pictures)}
    ours |= {path for path in folder.iterdir() if DRAWN.fullmatch(path.name) and path.is_file()}
    own = {path for path in (folder / SOURCE, folder / MODULES) if but.resolve() == (folder / SOURCE).resolve()}
    aside = Path(tempfile.mkdtemp(prefix=".fresh-", dir=folder))
    moved: list[Path] = []
    try:
        for path in sorted(ours - own):
            if path.is_symlink() or path.exists():
                path.rename(aside / path.name)
                moved.append(path)
    except OSError:
        for path in moved:
            (aside / path.name).rename(path)
        aside.rmdir()
        raise
    shutil.rmtree(aside)
