"""Checks a log as evidence: is the file undamaged, of one run, and free of contradictions?

The official checker verifies that the events are present and in order. It does not notice a clock
that was set back, lines of two runs in one file, damaged bytes, or figures that contradict each
other. These checks do, in one pass and in bounded memory, whatever the size of the file.

A violation is what cannot occur in the log of one whole run; a warning is what rarely occurs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mlperf_logging.mllog import constants

from cloudmask.mlperf.check.consistency import ConsistencyCheck
from cloudmask.mlperf.check.event_check import EventCheck
from cloudmask.mlperf.check.result_line import ResultLineCheck
from cloudmask.mlperf.check.violation import Violation
from cloudmask.mlperf.log.events import Event, event_of
from cloudmask.mlperf.log.lines import TOKEN, FileLine, file_lines, log_line

MOST_VIOLATIONS = 100  # kept, and as many warnings; the rest is counted
# Seconds without an event inside the run, outside staging, epochs and evaluations.
LONGEST_PAUSE = 60.0

_INTERVALS = ("init", "staging", "epoch", "eval")
_EVENT_TYPES: dict[str, str] = {
    f"{name}_{end}": event_type
    for name in (*_INTERVALS, "run", "power_measurement")
    for end, event_type in (("start", constants.INTERVAL_START), ("stop", constants.INTERVAL_END))
}


@dataclass
class ForensicReport:
    """Violations and warnings in the order of the file, and how many were left out."""

    violations: list[Violation] = field(default_factory=list)
    warnings: list[Violation] = field(default_factory=list)
    left_out: int = 0

    def add(self, found: Violation) -> None:
        """Add a violation or a warning; beyond `MOST_VIOLATIONS` of a kind it is only counted."""
        kept = self.warnings if found.warning else self.violations
        if len(kept) < MOST_VIOLATIONS:
            kept.append(found)
        else:
            self.left_out += 1


def examine(path: Path) -> ForensicReport:
    """All violations and warnings that the file shows by itself.

    Raises:
        InputError: the file cannot be read.
    """
    report = ForensicReport()
    for found in _violations(path):
        report.add(found)
    return report


def _violations(path: Path) -> Iterator[Violation]:
    result_line = ResultLineCheck()
    checks: list[EventCheck] = [TimestampCheck(), SingleRunCheck(result_line), ConsistencyCheck()]
    checks.append(result_line)
    for line in file_lines(path):
        logged = log_line(line)
        event = event_of(logged)
        yield from _damage(line, event)
        if logged is None:
            yield from result_line.read_line(line)
        if event is not None:
            for check in checks:
                yield from check.read(event)
    for check in checks:
        yield from check.finish()


def _damage(line: FileLine, event: Event | None) -> Iterator[Violation]:
    """Damaged bytes and truncated lines; only a warning in lines that are of no account."""
    is_event = TOKEN in line.text
    is_text = not is_event and not line.text.startswith("RESULT,")
    if line.cut:
        yield Violation.in_line(line, "longer than any line of a log")
        return
    if not line.text.isascii():
        try:
            line.text.encode("latin-1").decode()
        except UnicodeDecodeError as error:
            problem = f"byte {error.start + 1} is not UTF-8: the file is damaged"
            yield Violation.in_line(line, problem, warning=is_text)
    if "\0" in line.text:
        yield Violation.in_line(line, "holds a zero byte: the file is damaged", warning=is_text)
    if not is_event and '"event_type"' in line.text:
        yield Violation.in_line(line, f"an event without {TOKEN.strip()}")
    if not line.ended:
        if event is None and (is_event or TOKEN.startswith(line.text)):
            yield Violation.in_line(line, "the file ends within this event")
        else:
            problem = "the last line has no line end: the file may be truncated"
            yield Violation.in_line(line, problem, warning=True)


class TimestampCheck(EventCheck):
    """Time stamps are numbers that never decrease, without long pauses inside the run."""

    def __init__(self) -> None:
        self._last: Event | None = None
        self._open_intervals: set[str] = set()
        self._in_run = False  # between init_stop and run_stop

    def read(self, event: Event) -> Iterator[Violation]:
        """Compare the time stamp with the one before."""
        if event.seconds is None:
            problem = (
                f"time_ms is {event.record['time_ms']!r:.60}, expected milliseconds since 1970"
            )
            yield Violation.in_event(event, problem)
            return
        if self._last is not None and self._last.seconds is not None:
            passed = event.seconds - self._last.seconds
            if passed < 0:
                line = self._last.line.number
                yield Violation.in_event(
                    event, f"its time is {-passed:.3f} s before that of line {line}"
                )
            elif passed > LONGEST_PAUSE and self._in_run and not self._open_intervals:
                problem = (
                    f"nothing was logged for {passed:.0f} s, outside staging, epochs and "
                    "evaluations: was the machine suspended?"
                )
                yield Violation.in_event(event, problem, warning=True)
        self._last = event
        name, _, end = event.key.rpartition("_")
        if name in _INTERVALS and end == "start":
            self._open_intervals.add(name)
        elif end == "stop":
            self._open_intervals.discard(name)
        if event.key in (constants.INIT_STOP, constants.RUN_STOP):
            self._in_run = event.key == constants.INIT_STOP


class SingleRunCheck(EventCheck):
    """All events have the namespace of one run and the event type of their key."""

    def __init__(self, result_line: ResultLineCheck) -> None:
        self._result_line = result_line
        self._first: Event | None = None

    def read(self, event: Event) -> Iterator[Violation]:
        """Compare the namespace with that of the first event, and the event type with the key."""
        self._first = self._first or event
        namespace, expected = (one.record.get("namespace") for one in (event, self._first))
        if namespace != expected:
            problem = (
                f"namespace is {namespace!r:.60}, but {expected!r:.60} in line "
                f"{self._first.line.number}: the file has lines of two runs"
            )
            yield Violation.in_event(event, problem)
        if self._result_line.line is not None:
            line = self._result_line.line.number
            problem = f"an event after the RESULT of line {line}: lines of two runs"
            yield Violation.in_event(event, problem)
        interval = event.key.endswith(("_start", "_stop"))
        required = _EVENT_TYPES.get(event.key) if interval else constants.POINT_IN_TIME
        event_type = event.record.get("event_type")
        if required is not None and event_type != required:
            problem = f"event_type is {event_type!r:.60}, expected {required!r}"
            yield Violation.in_event(event, problem)
