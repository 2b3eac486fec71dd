"""Looks at a log as evidence: is the file whole, of one run, and true to itself?

The official checker asks whether the events are there and in order. It does not see a clock that
went back, lines of two runs in one file, damaged bytes, or figures that contradict each other.
These are found here, in one pass and in bounded memory, whatever the size of the file.

What cannot be in the log of one whole run is a violation; what can, but seldom is, is odd.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mlperf_logging.mllog import constants

from cloudmask.mlperf.check.consistency import Account
from cloudmask.mlperf.check.event import Event, Witness, event_of
from cloudmask.mlperf.check.result_line import ResultLine
from cloudmask.mlperf.check.violation import Violation
from cloudmask.mlperf.log.lines import TOKEN, FileLine, file_lines, log_line

# Of each of the two kinds; a file of which more is wrong is not better understood by more of them.
MOST_FINDINGS = 100
# Within the run, outside staging, epochs and evaluations, nothing takes long.
LONGEST_PAUSE = 60.0

_INTERVALS = ("init", "staging", "epoch", "eval")
_KINDS: dict[str, str] = {
    f"{name}_{end}": kind
    for name in (*_INTERVALS, "run", "power_measurement")
    for end, kind in (("start", constants.INTERVAL_START), ("stop", constants.INTERVAL_END))
}


@dataclass
class Findings:
    """What was found, in the order of the file: the first of each kind, and how many more."""

    violations: list[Violation] = field(default_factory=list)
    warnings: list[Violation] = field(default_factory=list)
    more: int = 0

    def add(self, found: Violation) -> None:
        """Take note of a violation or, if it is odd, of a warning."""
        findings = self.warnings if found.odd else self.violations
        if len(findings) < MOST_FINDINGS:
            findings.append(found)
        else:
            self.more += 1


def examine(path: Path) -> Findings:
    """Everything that is wrong or odd with the file, as far as it tells by itself.

    Raises:
        InputError: the file cannot be read.
    """
    findings = Findings()
    for found in _findings(path):
        findings.add(found)
    return findings


def _findings(path: Path) -> Iterator[Violation]:
    result_line = ResultLine()
    witnesses: list[Witness] = [Clock(), OneRun(result_line), Account(), result_line]
    for line in file_lines(path):
        logged = log_line(line)
        event = event_of(logged)
        yield from _damage(line, event)
        if logged is None:
            yield from result_line.read(line)
        if event is not None:
            for witness in witnesses:
                yield from witness.see(event)
    for witness in witnesses:
        yield from witness.end()


def _damage(line: FileLine, event: Event | None) -> Iterator[Violation]:
    """What is wrong with a line's bytes, in whatever language it is."""
    is_event = TOKEN in line.text
    matters = is_event or line.text.startswith("RESULT,")
    if line.cut:
        yield Violation(None, line.number, "longer than any line of a log", line.text)
        return
    if not line.text.isascii():
        try:
            line.text.encode("latin-1").decode()
        except UnicodeDecodeError as error:
            problem = f"byte {error.start + 1} is not UTF-8: the file is damaged"
            yield Violation(None, line.number, problem, line.text, odd=not matters)
    if "\0" in line.text:
        problem = "holds a zero byte: the file is damaged"
        yield Violation(None, line.number, problem, line.text, odd=not matters)
    if not is_event and '"event_type"' in line.text:
        yield Violation(None, line.number, f"an event without {TOKEN.strip()}", line.text)
    if not line.ended:
        if event is None and (is_event or TOKEN.startswith(line.text)):
            yield Violation(None, line.number, "the file ends within this event", line.text)
        else:
            problem = "the last line has no line end: the file may have been cut"
            yield Violation(None, line.number, problem, line.text, odd=True)


class Clock(Witness):
    """Time stamps are numbers that never fall, and nothing is silent for long without a reason."""

    def __init__(self) -> None:
        self._last: Event | None = None
        self._open: set[str] = set()
        self._busy = False  # between init_stop and run_stop

    def see(self, event: Event) -> Iterator[Violation]:
        """Compare the time stamp with the one before."""
        if event.seconds is None:
            stamp = event.record["time_ms"]
            yield event.violation(f"time_ms is {stamp!r:.60}, expected milliseconds since 1970")
            return
        if self._last is not None and self._last.seconds is not None:
            passed = event.seconds - self._last.seconds
            if passed < 0:
                yield event.violation(
                    f"its time is {-passed:.3f} s before that of line {self._last.line.number}"
                )
            elif passed > LONGEST_PAUSE and self._busy and not self._open:
                yield event.violation(
                    f"nothing was logged for {passed:.0f} s, outside staging, epochs and "
                    "evaluations: was the machine asleep?",
                    odd=True,
                )
        self._last = event
        self._follow(event.key)

    def _follow(self, key: str) -> None:
        name, _, end = key.rpartition("_")
        if name in _INTERVALS and end in ("start", "stop"):
            (self._open.add if end == "start" else self._open.discard)(name)
        if key in (constants.INIT_STOP, constants.RUN_STOP):
            self._busy = key == constants.INIT_STOP


class OneRun(Witness):
    """All events come from one run, and each is of its kind."""

    def __init__(self, result_line: ResultLine) -> None:
        self._result_line = result_line
        self._first: Event | None = None

    def see(self, event: Event) -> Iterator[Violation]:
        """Compare the mark of the run, and the event's kind, with what they must be."""
        self._first = self._first or event
        mark, expected = (one.record.get("namespace") for one in (event, self._first))
        if mark != expected:
            yield event.violation(
                f"namespace is {mark!r:.60}, but {expected!r:.60} in line "
                f"{self._first.line.number}: the file has lines of two runs"
            )
        if self._result_line.line is not None:
            line = self._result_line.line.number
            yield event.violation(f"an event after the RESULT of line {line}: lines of two runs")
        kind, event_type = _kind(event.key), event.record.get("event_type")
        if kind is not None and event_type != kind:
            yield event.violation(f"event_type is {event_type!r:.60}, expected {kind!r}")


def _kind(key: str) -> str | None:
    """The event type that a key must have, None where it may be any."""
    if not key.endswith(("_start", "_stop")):
        return str(constants.POINT_IN_TIME)
    return _KINDS.get(key)
