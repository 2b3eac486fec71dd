"""Which runs count, and why the others do not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from mlperf_logging.mllog import constants

from cloudmask.errors import InputError
from cloudmask.mlperf.check.command import check
from cloudmask.mlperf.log.run_summary import UNKNOWN, RunSummary, read_summary
from cloudmask.mlperf.score.setting import DIRTY, Setting

# As runs write them, and as the layout of MLCommons Science has them.
_RESULT_NAME = re.compile(r"result[_-]([0-9]+)\.txt")


@dataclass(frozen=True)
class Run:
    """One log and what it is worth.

    `summary` is None where the log is too damaged to be read; `reasons` say, a sentence each, why
    the run does not count.
    """

    path: Path
    summary: RunSummary | None
    reasons: tuple[str, ...]

    @property
    def counts(self) -> bool:
        """Whether it may be part of a score."""
        return not self.reasons

    @property
    def missed(self) -> bool:
        """Whether nothing speaks against it but that it did not meet the target."""
        aborted = self.summary is not None and self.summary.status != constants.SUCCESS
        return aborted and len(self.reasons) == 1


def find_logs(folders: Sequence[Path]) -> list[Path]:
    """The result files in the folders, at any depth, by folder and number; files stand for
    themselves.

    Raises:
        InputError: a folder that is not there, or holds none.
    """
    found = []
    for folder in folders:
        if folder.is_file():
            found.append(folder)
            continue
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; give one that holds result_N.txt files.")
        logs = [path for path in folder.rglob("result*.txt") if _RESULT_NAME.fullmatch(path.name)]
        if not logs:
            raise InputError(f"{folder}: holds no result_N.txt, at any depth; give a LOGDIR.")
        found += sorted(logs, key=_by_folder_and_number)
    return list(dict.fromkeys(found))


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """Every log, read and judged, in the order given.

    A run counts if it met its target on its own, with a known source and a seed that no run of
    the same setting before it had, and the checker accepts its log.
    """
    with ThreadPoolExecutor() as pool:  # the official checker is a process for each log
        return without_repeated_seeds(pool.map(read_run, paths))


def read_run(path: Path) -> Run:
    """One log, judged by itself."""
    try:
        summary = read_summary(path)
    except InputError as error:
        return Run(path, None, (str(error),))
    reasons = []
    if summary.status != constants.SUCCESS:
        reasons.append(f"{summary.status}: {summary.reason}" if summary.reason else summary.status)
    if summary.resumed:
        reasons.append("resumed from a checkpoint")
    if summary.commit == UNKNOWN:
        reasons.append("the commit of its source is not known")
    if summary.commit.endswith(DIRTY):
        reasons.append("its source differed from the commit (dirty tree)")
    if not summary.time_to_solution > 0:
        reasons.append(f"took {summary.time_to_solution:.3f} s from run_start to run_stop")
    if summary.profiled:
        reasons.append("profiled")
    # Of a run that does not count anyway, such as an unfinished one, the checker is not asked.
    if not reasons and not (report := check(path)).accepted:
        first, *more = report.violations
        others = f" ({len(more)} more: see check)" if more else ""
        reasons.append(f"refused by check: {replace(first, text='')}{others}")
    return Run(path, summary, tuple(reasons))


def without_repeated_seeds(runs: Iterable[Run]) -> list[Run]:
    """The same runs; of those of one setting that share a seed, only the first still counts."""
    first: dict[tuple[Setting, int], Path] = {}
    judged = []
    for run in runs:
        if run.summary is not None:
            key = (Setting.of(run.summary), run.summary.seed)
            earlier = first.setdefault(key, run.path)
            if earlier != run.path:
                reason = f"seed {run.summary.seed} is that of {earlier}"
                run = replace(run, reasons=(*run.reasons, reason))
        judged.append(run)
    return judged


def _by_folder_and_number(path: Path) -> tuple[Path, int]:
    match = _RESULT_NAME.fullmatch(path.name)
    return path.parent, int(match[1]) if match else 0
