"""The checkpoints of a timed run: when they are written, and how log and console report them."""

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
    """Restores, writes and removes the checkpoints of a run; on ranks above 0 it only restores.

    Args:
        parameters: everything besides the seed that determines training.
    """

    def __init__(
        self,
        config: Config,
        parameters: Mapping[str, Any],
        resume_point: ResumePoint,
        log: RunLog,
        console: Console,
    ) -> None:
        self.every = config.checkpoint_epochs
        self.resume_point = resume_point
        self.log = log
        self.console = console
        self._folder: CheckpointFolder | None = None
        if log.path is not None:
            number = int(log.path.stem.removeprefix("result_"))
            runs, seed = resume_point.runs, resume_point.seed
            self._folder = CheckpointFolder(config.checkpoints, number, runs, seed, parameters)

    def resume(self, trainer: Trainer) -> None:
        """Restore the trainer to the checkpoint, if there is one, and log that the run resumed."""
        start = self.resume_point
        if not start.resumed:
            return
        self.log.event("resumed", start.epoch, restarts=start.restarts)
        if start.checkpoint is not None:
            trainer.load_state(start.checkpoint.state)
        source = start.path or "no checkpoint"
        self.console.say(f"resumed after epoch {start.epoch} from {source}: no timed result")

    def prepare(self, trainer: Trainer) -> None:
        """Allocate what `record` needs, before the clock."""
        if self._folder is not None:
            self._folder.prepare(trainer.state())

    @property
    def why_untimed(self) -> str:
        """The reason why a run that reached the target has no time to solution, or ''."""
        if not self.resume_point.resumed:
            return ""
        return f"target reached, but resumed after epoch {self.resume_point.epoch}: no timed result"

    def record(self, epoch: int, trainer: Trainer) -> None:
        """Keep the state after an epoch, and write it every `checkpoint_epochs`."""
        if self._folder is None:
            return
        self._folder.record(epoch, trainer.state())
        if self.every and epoch % self.every == 0:
            self.save()

    def save(self) -> None:
        """Write the state that was last recorded; a failure is reported and the run continues."""
        if self._folder is None:
            return
        try:
            path = self._folder.save()
        except (OSError, InputError, RuntimeError) as error:  # of torch: the device has failed
            problem = str(error).partition("\n")[0]
            self.console.say(f"no checkpoint: {problem}")
            self.log.event("checkpoint_failed", problem)
            return
        if path is not None:
            self.console.say(f"checkpoint {path}")
            self.log.event("checkpoint", path.name)

    def clear(self) -> None:
        """Remove the checkpoints of a run that reached its target."""
        if self._folder is not None:
            self._folder.clear()
