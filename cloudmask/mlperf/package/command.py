"""The `package` command: writes a submission package, or prints why it cannot."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cloudmask.errors import EXIT_NO, EXIT_OK, InputError
from cloudmask.mlperf.package.layouts import write_hpc_layout, write_science_layout
from cloudmask.mlperf.package.official_checker import package_errors
from cloudmask.mlperf.package.request import Request, System, group_by_system
from cloudmask.mlperf.package.validation import validation_errors
from cloudmask.mlperf.score.runs import find_logs, read_runs
from cloudmask.mlperf.score.summarize import score_summary


def package(request: Request) -> int:
    """Package the runs of a request; returns the exit code.

    A complete package appears under its final name and the exit code is 0, or every error is
    printed on standard error and the exit code is 1. The same request for the same files gives
    the same bytes.

    Raises:
        InputError: names that cannot be folders, a package that exists, folders without logs.
    """
    request.validate()
    runs = read_runs(find_logs(request.runs))
    systems = group_by_system(request, runs)
    if errors := validation_errors(request, runs, systems):
        return _refuse(errors)
    notes: list[str] = []
    try:
        request.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=request.out, prefix=".package-") as made:
            folder = Path(made) / request.submitter
            folder.mkdir()
            if request.layout == "hpc":
                notes = write_hpc_layout(request, systems, folder)
                errors = [f"the official package checker: {x}" for x in package_errors(folder)]
            else:
                write_science_layout(request, systems, folder)
            if errors:
                return _refuse(errors)
            folder.rename(request.destination)
    except OSError as error:
        raise InputError(f"{error.filename or request.out}: {error.strerror}") from error
    _print_scores(request, systems)
    left_out = [str(run.path) for run in runs if not any(run in x.runs for x in systems)]
    if left_out:
        notes.append(f"not among the five runs of the score: {', '.join(left_out)}")
    for note in notes:
        print(f"note: {note}")
    return EXIT_OK


def _refuse(errors: Sequence[str]) -> int:
    for error in errors:
        print(f"refused: {error}", file=sys.stderr)
    return EXIT_NO


def _print_scores(request: Request, systems: Sequence[System]) -> None:
    for system in systems:
        print(f"{system.platform}: {score_summary(system.score)}")
        organisation = system.setting.organisation
        if organisation != request.submitter:
            print(f"note: its logs name the organisation {organisation}, not {request.submitter}")
    checked = ", accepted by the official package checker" if request.layout == "hpc" else ""
    print(f"SUCCESS  {request.destination}{checked}")
