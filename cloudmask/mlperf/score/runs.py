"""Which runs are valid for a score, and why the others are not."""

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from mlperf_logging.mllog import constants

from cloudmask.errors import EXIT_INPUT, EXIT_OK, EXIT_SOME_FAILED, InputError
from cloudmask.mlperf.check.command import check
from cloudmask.mlperf.check.foreign import foreign_benchmark
from cloudmask.mlperf.log.run_summary import UNKNOWN, RunSummary, read_summary
from cloudmask.mlperf.score.setting import DIRTY, Setting

# result_N.txt as written by runs, result-N.txt as in the layout of MLCommons Science.
_RESULT_NAME = re.compile(r"result[_-]([0-9]+)\.txt")


@dataclass(frozen=True)
class Run:
    """One log, and why it may not be part of a score.

    Attributes:
        summary: None if the log cannot be read as that of one run.
        reasons: one sentence for each reason why the run is not valid; empty if it is.
    """

    path: Path
    summary: RunSummary | None
    reasons: tuple[str, ...]

    @property
    def valid(self) -> bool:
        """Whether the run may be part of a score."""
        return not self.reasons

    @property
    def failed(self) -> bool:
        """Whether the only reason against the run is that it did not meet the target.

        It missed it, was aborted, or was killed, so that its log ends without run_stop.
        """
        missed = self.summary is not None and self.summary.status != constants.SUCCESS
        return missed and len(self.reasons) == 1


def find_logs(folders: Sequence[Path]) -> list[Path]:
    """The result files in the folders, at any depth, by folder and number; files are themselves.

    Raises:
        InputError: a folder that does not exist or contains no result file.
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
    """Read and check every log, in the order given.

    A run is valid if it met the target without being resumed or profiled, its source is a known
    commit, no earlier run of the same setting had its seed, and `check` accepts its log.
    """
    with ThreadPoolExecutor() as pool:  # the official checker is one process per log
        return reject_repeated_seeds(pool.map(read_run, paths))


def exit_code(read: Sequence[bool]) -> int:
    """The exit code of a command on so many logs, by whether each could be read."""
    if all(read):
        return EXIT_OK
    return EXIT_SOME_FAILED if any(read) else EXIT_INPUT


def read_run(path: Path) -> Run:
    """Read and check one log."""
    try:
        summary = read_summary(path)
    except InputError as error:
        other = foreign_benchmark(path)
        return Run(path, None, (f"{path}: {replace(other, text='')}" if other else str(error),))
    reasons = []
    if summary.status != constants.SUCCESS:
        reasons.append(f"{summary.status}: {summary.reason}" if summary.reason else summary.status)
    if summary.resumed:
        reasons.append("resumed from a checkpoint")
    if summary.commit == UNKNOWN:
        reasons.append("the commit of its source is not known (doctor says why)")
    if summary.commit.endswith(DIRTY):
        reasons.append("its source differed from the commit (dirty tree)")
    if not summary.time_to_solution > 0:
        reasons.append(f"took {summary.time_to_solution:.3f} s from run_start to run_stop")
    if summary.profiled:
        reasons.append("profiled")
    # The official checker is slow: it only runs if there is no other reason.
    if not reasons and not (report := check(path)).accepted:
        first, *more = report.violations
        others = f" ({len(more)} more: see check)" if more else ""
        reasons.append(f"refused by check: {replace(first, text='')}{others}")
    return Run(path, summary, tuple(reasons))


def reject_repeated_seeds(runs: Iterable[Run]) -> list[Run]:
    """The same runs; of those of one setting that share a seed, only the first stays valid."""
    first: dict[tuple[Setting, int], Path] = {}
    checked = []
    for run in runs:
        if run.summary is not None:
            key = (Setting.of(run.summary), run.summary.seed)
            earlier = first.setdefault(key, run.path)
            if earlier != run.path:
                reason = f"seed {run.summary.seed} is that of {earlier}"
                run = replace(run, reasons=(*run.reasons, reason))
        checked.append(run)
    return checked


def _by_folder_and_number(path: Path) -> tuple[Path, int]:
    match = _RESULT_NAME.fullmatch(path.name)
    return path.parent, int(match[1]) if match else 0
