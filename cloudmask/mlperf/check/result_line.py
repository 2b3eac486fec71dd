"""Compares the lines at the end of a log, which summarise the run, with its events."""

import re
from collections.abc import Iterator

from mlperf_logging.mllog import constants

from cloudmask.mlperf.check.event_check import EventCheck
from cloudmask.mlperf.check.violation import Violation
from cloudmask.mlperf.log.events import Event
from cloudmask.mlperf.log.lines import FileLine

# Seconds of a run outside its events: start, exit and checks take about a minute. A RESULT that is
# longer by this much belongs to another run or another machine.
LONGEST_OVERHEAD = 20 * 60

# START is ISO 8601; logs of earlier versions have a space and a time of 12 hours.
_RESULT = re.compile(r"RESULT,CLOUDMASK,(\d{1,18}),(\d{1,18}),([^,]*),(\d{4}-\d\d-\d\d[T ][^,]+)")
_TIME_TO_SOLUTION = re.compile(r"time to solution +(?:none: \w+ after )?(\d+\.\d+) s")


class ResultLineCheck(EventCheck):
    """Compares the RESULT line and the time to solution with the events."""

    def __init__(self) -> None:
        self.line: FileLine | None = None
        self._time_to_solution: tuple[FileLine, float] | None = None
        self._first: float | None = None
        self._last: float | None = None
        self._clock: dict[str, float] = {}
        self._seed: float | None = None
        self._fetch_seconds = 0.0

    def read_line(self, line: FileLine) -> Iterator[Violation]:
        """Read a line that is not an event."""
        if match := _TIME_TO_SOLUTION.match(line.text):
            self._time_to_solution = line, float(match[1])
        if line.text.startswith("RESULT,"):
            if self.line is not None:
                problem = f"a second RESULT, after line {self.line.number}: lines of two runs"
                yield Violation.in_line(line, problem, "RESULT")
            self.line = self.line or line

    def read(self, event: Event) -> Iterator[Violation]:
        """Store the times, the seed and the seconds of fetching."""
        seconds = event.seconds
        if seconds is not None:
            self._first = self._first or seconds
            self._last = seconds
            if event.key in (constants.RUN_START, constants.RUN_STOP):
                self._clock.setdefault(event.key, seconds)
        if event.key == constants.SEED:
            self._seed = event.number
        if event.key == "fetch_seconds":
            self._fetch_seconds = event.number or 0.0
        yield from ()

    def finish(self) -> Iterator[Violation]:
        """Compare the lines with the events."""
        if self._time_to_solution is not None and len(self._clock) == 2:
            line, printed = self._time_to_solution
            seconds = self._clock[constants.RUN_STOP] - self._clock[constants.RUN_START]
            if abs(printed - seconds) > 0.0015:  # rounded to milliseconds
                problem = f"from run_start to run_stop it was {seconds:.3f} s"
                yield Violation.in_line(line, problem, "time to solution")
        if self.line is not None:
            yield from self._compare_result(self.line)

    def _compare_result(self, line: FileLine) -> Iterator[Violation]:
        match = _RESULT.fullmatch(line.text)
        if match is None:
            problem = "not RESULT,CLOUDMASK,SEED,SECONDS,USER,START"
            yield Violation.in_line(line, problem, "RESULT")
            return
        if self._seed is not None and int(match[1]) != self._seed:
            problem = f"seed {match[1]}, but the log's is {self._seed:.0f}"
            yield Violation.in_line(line, problem, "RESULT")
        if self._first is None or self._last is None:
            return
        printed, logged = float(match[2]), self._last - self._first
        if printed < logged - 1:  # both ends are truncated to whole seconds
            problem = f"{match[2]} s, but the events alone take {logged:.1f} s"
            yield Violation.in_line(line, problem, "RESULT")
        elif printed > logged + self._fetch_seconds + LONGEST_OVERHEAD:
            problem = f"{match[2]} s, but the events take {logged:.1f} s"
            yield Violation.in_line(line, problem, "RESULT", warning=True)
