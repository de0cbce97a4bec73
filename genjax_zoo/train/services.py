"""Sinks of other programs: TensorBoard and Weights & Biases, each an extra of this package."""

import importlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genjax_zoo.errors import UserError
from genjax_zoo.files import whole
from genjax_zoo.train.log import Numbers


class TensorBoard:
    """Event files for TensorBoard, on disk a second after each log; needs the extra `tb`."""

    def __init__(self, folder: Path, *, start: int = 0):
        """Opens a folder; what an earlier process logged past the step `start` is shown no more."""
        purge = {"purge_step": start + 1} if start else {}
        self._writer = tensorboard().SummaryWriter(str(folder), flush_secs=1, **purge)  # by a thread of its own

    def log(self, step: int, metrics: Numbers) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def show(self, step: int, numbers: Numbers, images: Mapping[str, Any]) -> None:
        for name, stack in images.items():
            self._writer.add_images(name, stack, step, dataformats="NHWC")
        self.log(step, {f"eval/{name}": value for name, value in numbers.items()})

    def warn(self, step: int, sentence: str) -> None:
        self._writer.add_text("warning", sentence, step)

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A run on wandb, the same one whenever the run in the folder goes on; needs the extra `wandb`."""

    def __init__(self, folder: Path, *, project: str = "genjax-zoo", config: Mapping[str, Any] | None = None):
        """Begins a run, or goes on with that of the folder.

        Raises:
            UserError: wandb is not installed, has no login, or cannot be reached.
        """
        self._wandb = wandb()
        kept = folder / "wandb" / "id"
        known = kept.read_text().strip() if kept.exists() else secrets.token_hex(4)
        settings: dict[str, Any] = {"project": project, "dir": str(folder), "name": folder.name}
        try:
            self._run = self._wandb.init(**settings, id=known, resume="allow", config=dict(config or {}))
        except Exception as error:  # of a server that is not there, say
            raise UserError(f"wandb cannot begin a run ({_first_line(error)}); {OFFLINE}.") from None
        self._run.define_metric("*", step_metric="step")  # a run that goes on may log a step again
        with whole(kept) as unfinished:
            unfinished.write_text(known)

    def log(self, step: int, metrics: Numbers) -> None:
        self._run.log({**metrics, "step": step})

    def show(self, step: int, numbers: Numbers, images: Mapping[str, Any]) -> None:
        pictures = {name: [self._wandb.Image(image) for image in stack] for name, stack in images.items()}
        self._run.log({**{f"eval/{name}": value for name, value in numbers.items()}, **pictures, "step": step})

    def warn(self, step: int, sentence: str) -> None:
        self._run.alert(title=f"step {step:,}", text=sentence)

    def close(self) -> None:
        self._run.finish()


OFFLINE = "WANDB_MODE=offline keeps its log in the run folder"


def tensorboard() -> Any:
    """The module tensorboardX.

    Raises:
        UserError: it is not installed.
    """
    return _extra("tensorboardX", "tb")


def wandb() -> Any:
    """The module wandb, which has a login or needs none; nobody is asked for one.

    Raises:
        UserError: it is not installed, or has no login.
    """
    module = _extra("wandb", "wandb")
    if os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun"):
        return module
    try:
        known = module.login(prompt=False)
    except TypeError:  # an earlier wandb
        known = module.api.api_key is not None
    except Exception as error:  # of a key that is none, or a server that is not there
        raise UserError(f"wandb refuses its login ({_first_line(error)}); {OFFLINE}.") from None
    if not known:
        raise UserError(f"wandb has no login: run 'wandb login' or set WANDB_API_KEY; {OFFLINE}.")
    return module


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _extra(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise UserError(f"{module} is not installed: pip install 'genjax-zoo[{extra}]'.") from None
