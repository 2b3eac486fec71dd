"""Logs of other benchmarks, and of CloudMask's reference implementation: what they are."""

from pathlib import Path

from mlperf_logging.mllog import constants

from cloudmask.mlperf.check.official_tools import USAGE
from cloudmask.mlperf.check.violation import Violation
from cloudmask.mlperf.log.events import event_of
from cloudmask.mlperf.log.lines import file_lines, log_line

BENCHMARK = "cloudmask"
REFERENCE = "CloudMask"  # the benchmark's name in the logs of its reference implementation
_OF_REFERENCE = (
    f"is {REFERENCE!r}: a log of the reference implementation, which has no clock of a run "
    "(run_start), no epochs, no accuracies and no seed, so that no rule can be checked; "
    "`cloudmask compare` shows its times"
)
_OF_ANOTHER = (
    "is {value!r:.60}, expected {expected!r}: a log of another benchmark; check it by "
    "python -m mlperf_logging.compliance_checker --usage {usage} --ruleset VERSION FILE"
)


def is_reference_log(path: Path) -> bool:
    """Whether the log is one of CloudMask's reference implementation."""
    found = foreign_benchmark(path)
    return found is not None and found.problem == _OF_REFERENCE


def foreign_benchmark(path: Path) -> Violation | None:
    """The line that names another benchmark; None if the log names CloudMask anywhere, or none.

    Raises:
        InputError: the file cannot be read.
    """
    first = None
    for line in file_lines(path):
        event = event_of(log_line(line))
        if event is None or event.key != constants.SUBMISSION_BENCHMARK:
            continue
        if event.value == BENCHMARK:
            return None
        first = first or event
    if first is None:
        return None
    if first.value == REFERENCE:
        return Violation.in_event(first, _OF_REFERENCE)
    problem = _OF_ANOTHER.format(value=first.value, expected=BENCHMARK, usage=USAGE)
    return Violation.in_event(first, problem)
