"""The checkpoints of a run in their folder: written, thinned out, and found again."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cloudmask.checkpoints.format import Checkpoint, copy_of, read_checkpoint, write_checkpoint
from cloudmask.errors import InputError

# The newest may be damaged later on, where it lies: one more is kept.
KEPT = 2
_NAME = re.compile(r"checkpoint_([0-9]+)_epoch_([0-9]+)\.safetensors")


class CheckpointFolder:
    """Where one run leaves its checkpoints, and the last state that it could leave."""

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
        self._remembered: Checkpoint | None = None

    def remember(self, epoch: int, state: Mapping[str, Any]) -> None:
        """Keep a copy of the state, in memory, as it stands at the end of an epoch."""
        copied = copy_of(state)
        self._remembered = Checkpoint(self.runs, epoch, self.seed, self.parameters, copied)

    def save(self) -> Path | None:
        """Write the remembered state, once; then let go of all but the newest of this run.

        Returns the file, or None if nothing new is remembered.

        Raises:
            OSError: it could not be written; all earlier checkpoints are kept.
            InputError: it cannot be read again; all earlier checkpoints are kept.
        """
        if self._remembered is None:
            return None
        path = self.folder / f"checkpoint_{self.number}_epoch_{self._remembered.epoch}.safetensors"
        write_checkpoint(path, self._remembered)
        self._remembered = None
        good = [found for found in newest_first(self.folder) if self._is_ours(found)]
        for old in good[KEPT:]:
            old.unlink()
        return path

    def clear(self) -> None:
        """Remove the checkpoints of a run that has reached its target."""
        self._remembered = None
        for path in newest_first(self.folder):
            if self._is_ours(path):
                path.unlink()

    def _is_ours(self, path: Path) -> bool:
        try:
            return not set(self.runs).isdisjoint(read_checkpoint(path).runs)
        except InputError:  # a damaged one is left for people to look at, and counts for nothing
            return False


def make_folder(folder: Path) -> None:
    """Make the folder of checkpoints, if need be.

    Raises:
        InputError: that is impossible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"checkpoint_folder {folder} cannot be made ({error.strerror}): choose another"
        ) from error


def newest_first(folder: Path) -> list[Path]:
    """The checkpoints of a folder by number of run and epoch; clocks decide nothing."""
    if not folder.is_dir():
        return []
    named = [(match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    ordered = sorted(named, key=lambda item: (int(item[0][1]), int(item[0][2])), reverse=True)
    return [path for _, path in ordered]


def newest_good(
    folder: Path,
    parameters: Mapping[str, Any],
    seed: int | None,
    run: str | None,
    report: Callable[[str], object],
) -> tuple[Path, Checkpoint] | None:
    """The newest checkpoint that this run can go on from, if there is one.

    `seed`, if given, must be the checkpoint's, and `run` one of its runs. Newer checkpoints that
    do not fit are reported, with what is wrong with them.
    """
    for path in newest_first(folder):
        try:
            checkpoint = read_checkpoint(path)
            if run is not None and run not in checkpoint.runs:
                continue
            require_fit(path, checkpoint, parameters, seed)
        except InputError as error:
            report(f"passed over: {error}")
        else:
            return path, checkpoint
    return None


def require_fit(
    path: Path, checkpoint: Checkpoint, parameters: Mapping[str, Any], seed: int | None
) -> None:
    """Refuse a checkpoint whose training was another one.

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
