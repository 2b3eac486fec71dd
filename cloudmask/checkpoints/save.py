"""The checkpoints of a timed run: when they are written, and what log and screen say of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudmask.checkpoints.folder import CheckpointFolder
from cloudmask.checkpoints.resume import ResumePoint
from cloudmask.config import Config
from cloudmask.console import Console
from cloudmask.errors import InputError
from cloudmask.mlperf.log.logger import RunLog
from cloudmask.training.trainer import Trainer


class CheckpointWriter:
    """Begins, keeps and clears the state of training; on other ranks than 0 it only begins.

    Args:
        parameters: what the course of training depends on besides its seed.
    """

    def __init__(
        self,
        config: Config,
        parameters: Mapping[str, Any],
        beginning: ResumePoint,
        log: RunLog,
        console: Console,
    ) -> None:
        self.every = config.checkpoint_epochs
        self.beginning = beginning
        self.log = log
        self.console = console
        self._folder: CheckpointFolder | None = None
        if log.path is not None:
            number = int(log.path.stem.removeprefix("result_"))
            self._folder = CheckpointFolder(
                config.checkpoints, number, beginning.runs, beginning.seed, parameters
            )

    def begin(self, trainer: Trainer) -> None:
        """Go on from the checkpoint, if there is one; a run that is not whole says so."""
        beginning = self.beginning
        if not beginning.resumed:
            return
        self.log.event("resumed", beginning.epoch, restarts=beginning.restarts)
        if beginning.checkpoint is not None:
            trainer.load_state(beginning.checkpoint.state)
        source = beginning.path or "no checkpoint"
        self.console.say(f"resumed after epoch {beginning.epoch} from {source}: no timed result")

    @property
    def untimed(self) -> str:
        """Why a run that reached the target has no time to solution all the same, or ''."""
        if not self.beginning.resumed:
            return ""
        return f"target reached, but resumed after epoch {self.beginning.epoch}: no timed result"

    def remember(self, epoch: int, trainer: Trainer) -> None:
        """Keep the state at the end of an epoch; write it if it is time."""
        if self._folder is None:
            return
        self._folder.remember(epoch, trainer.state())
        if self.every and epoch % self.every == 0:
            self.save()

    def save(self) -> None:
        """Write what is remembered. A failure is told; the run is worth more than its insurance."""
        if self._folder is None:
            return
        try:
            path = self._folder.save()
        except (OSError, InputError) as error:
            self.console.say(f"no checkpoint: {error}")
            self.log.event("checkpoint_failed", str(error))
            return
        if path is not None:
            self.console.say(f"checkpoint {path}")
            self.log.event("checkpoint", path.name)

    def clear(self) -> None:
        """Remove the checkpoints: the target is reached, and the weights are kept."""
        if self._folder is not None:
            self._folder.clear()
