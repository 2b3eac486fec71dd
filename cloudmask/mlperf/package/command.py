"""Makes a submission package, or says everything that speaks against it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cloudmask.errors import EXIT_OK, InputError
from cloudmask.mlperf.check.command import EXIT_REFUSED
from cloudmask.mlperf.package.layouts import lay_out_hpc, lay_out_science
from cloudmask.mlperf.package.objections import objections
from cloudmask.mlperf.package.official_checker import package_errors
from cloudmask.mlperf.package.request import Request, System, systems_of
from cloudmask.mlperf.score.runs import find_logs, read_runs
from cloudmask.mlperf.score.summarize import score_sentence


def package(request: Request) -> int:
    """Packages the runs of a request; returns the exit code.

    All of the package appears at once, under its final name, and only if nothing speaks against
    it: 0. Else every reason is a line on standard error: 1. The same request for the same files
    makes the same bytes.

    Raises:
        InputError: names that cannot be folders, a package that is there already, folders
            without logs.
    """
    request.validate()
    runs = read_runs(find_logs(request.runs))
    systems = systems_of(request, runs)
    problems = objections(request, runs, systems)
    if problems:
        return _refuse(problems)
    try:
        request.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=request.out, prefix=".package-") as made:
            folder = Path(made) / request.submitter
            folder.mkdir()
            if request.layout == "hpc":
                lay_out_hpc(request, systems, folder)
                errors = package_errors(folder)
                problems = [f"the official package checker: {error}" for error in errors]
            else:
                lay_out_science(request, systems, folder)
            if problems:
                return _refuse(problems)
            folder.rename(request.destination)
    except OSError as error:
        raise InputError(f"{error.filename or request.out}: {error.strerror}") from error
    _announce(request, systems)
    return EXIT_OK


def _refuse(problems: Sequence[str]) -> int:
    for problem in problems:
        print(f"refused: {problem}", file=sys.stderr)
    return EXIT_REFUSED


def _announce(request: Request, systems: Sequence[System]) -> None:
    for system in systems:
        print(f"{system.platform}: {score_sentence(system.score)}")
        organisation = system.setting.organisation
        if organisation != request.submitter:
            print(f"note: its logs name the organisation {organisation}, not {request.submitter}")
    checked = ", accepted by the official package checker" if request.layout == "hpc" else ""
    print(f"SUCCESS  {request.destination}{checked}")
