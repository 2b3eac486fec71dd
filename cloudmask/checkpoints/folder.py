"""The folder of checkpoints: writing, removing old ones, finding the newest that can be used."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.cuda import Event

from cloudmask.checkpoints.format import (
    Checkpoint,
    copy_to_host,
    read_checkpoint,
    write_checkpoint,
)
from cloudmask.errors import InputError

COPY_TIMEOUT, COPY_INTERVAL = 10.0, 0.001  # seconds; a copy takes milliseconds
KEPT = 2  # one more than is needed, since the newest may be damaged later
_NAME = re.compile(r"checkpoint_([0-9]+)_(\w+)_epoch_([0-9]+)\.safetensors")


def name_of(number: int | str, run: str, epoch: int | str) -> str:
    """The name of a checkpoint: log folders that share a folder have logs of the same number."""
    return f"checkpoint_{number}_{run[:8]}_epoch_{epoch}.safetensors"


class CheckpointFolder:
    """Writes the checkpoints of one run, whose log has this number.

    Args:
        runs: names of the run, the last of them, and of those that it resumed.
    """

    def __init__(
        self,
        folder: Path,
        number: int,
        runs: Sequence[str],
        seed: int,
        parameters: Mapping[str, Any],
    ) -> None:
        self.folder = folder
        self.number = number
        self.runs = runs
        self.seed = seed
        self.parameters = parameters
        self._recorded: Checkpoint | None = None
        self._copying: tuple[Checkpoint, Event | None] | None = None

    def prepare(self, state: Mapping[str, Any]) -> None:
        """Allocate the memory of two copies, which torch keeps for those that `record` makes."""
        _ = copy_to_host(state), copy_to_host(state)

    def record(self, epoch: int, state: Mapping[str, Any]) -> None:
        """Keep a copy of the state after an epoch in the memory of the host."""
        self._complete(0.0)
        copied, event = copy_to_host(state)
        checkpoint = Checkpoint(self.runs, epoch, self.seed, self.parameters, copied)
        self._copying = (checkpoint, event)

    def _complete(self, timeout: float) -> None:
        """Wait for the last copy; if the GPU does not finish it, that of the epoch before stays."""
        if self._copying is None:
            return
        checkpoint, event = self._copying
        deadline = time.monotonic() + timeout
        try:
            while event is not None and not event.query():
                if time.monotonic() > deadline:
                    return
                time.sleep(COPY_INTERVAL)
        except RuntimeError:  # of torch: the GPU is lost
            self._copying = None
            return
        self._recorded, self._copying = checkpoint, None

    def save(self) -> Path | None:
        """Write the recorded state, then remove all but the newest checkpoints of this run.

        Returns the file, or None if nothing was recorded since the last call.

        Raises:
            OSError: it could not be written; all earlier checkpoints are kept.
            InputError: it cannot be read again; all earlier checkpoints are kept.
        """
        self._complete(COPY_TIMEOUT)
        if self._recorded is None:
            return None
        path = self.folder / name_of(self.number, self.runs[-1], self._recorded.epoch)
        write_checkpoint(path, self._recorded)
        self._recorded = None
        for old in self._of_this_run()[KEPT:]:
            old.unlink()
        return path

    def clear(self) -> None:
        """Remove the checkpoints of this run, which has reached its target."""
        self._recorded = self._copying = None
        for path in self._of_this_run():
            path.unlink()

    def _of_this_run(self) -> list[Path]:
        """The checkpoints of this run and of those it resumed, newest first; none is read."""
        runs = {run[:8] for run in self.runs}
        named = [(_NAME.fullmatch(path.name), path) for path in newest_first(self.folder)]
        return [path for match, path in named if match and match[2] in runs]


def make_folder(folder: Path) -> None:
    """Create the folder of checkpoints if it does not exist.

    Raises:
        InputError: it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"checkpoint_folder {folder} cannot be made ({error.strerror}): choose another"
        ) from error


def newest_first(folder: Path) -> list[Path]:
    """The checkpoints of a folder, ordered by number of the run and epoch, not by file times."""
    if not folder.is_dir():
        return []
    named = [(match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    ordered = sorted(named, key=lambda item: (int(item[0][1]), int(item[0][3])), reverse=True)
    return [path for _, path in ordered]


def newest_matching(
    folder: Path,
    parameters: Mapping[str, Any],
    seed: int | None,
    run: str | None,
    report: Callable[[str], object],
) -> tuple[Path, Checkpoint] | None:
    """Find the newest checkpoint that this training can resume from.

    It must have these parameters and, if given, this seed and this name among its runs. Newer
    checkpoints that are damaged or differ are reported, with the reason.
    """
    for path in newest_first(folder):
        try:
            checkpoint = read_checkpoint(path)
            if run is not None and run not in checkpoint.runs:
                continue
            require_same_training(path, checkpoint, parameters, seed)
        except InputError as error:
            report(f"passed over: {error}")
        else:
            return path, checkpoint
    return None


def require_same_training(
    path: Path, checkpoint: Checkpoint, parameters: Mapping[str, Any], seed: int | None
) -> None:
    """Refuse a checkpoint of a training with other parameters.

    Raises:
        InputError: names the first parameter that differs.
    """
    theirs = {**checkpoint.parameters, "seed": checkpoint.seed}
    ours = {**parameters, "seed": checkpoint.seed if seed is None else seed}
    for name, value in ours.items():
        if theirs.get(name) != value:
            raise InputError(
                f"checkpoint {path} was made with {name} {theirs.get(name)}, "
                f"this run has {value}: give that value, or another checkpoint"
            )
