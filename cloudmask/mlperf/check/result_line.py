"""The lines behind the events, which sum up a run, against the events."""

import re
from collections.abc import Iterator

from mlperf_logging.mllog import constants

from cloudmask.mlperf.check.event import Event, Witness
from cloudmask.mlperf.check.violation import Violation
from cloudmask.mlperf.log.lines import FileLine

# Start, end and checks of a run take a minute; twenty are another run's, or another machine's.
LONGEST_OVERHEAD = 20 * 60

_RESULT = re.compile(r"RESULT,CLOUDMASK,(\d{1,18}),(\d{1,18}),([^,]*),(\d{4}-\d\d-\d\d [^,]+)")
_TIME_TO_SOLUTION = re.compile(r"time to solution +(?:none: \w+ after )?(\d+\.\d+) s")


class ResultLine(Witness):
    """The lines of the outcome against the events that they sum up."""

    def __init__(self) -> None:
        self.line: FileLine | None = None
        self._times: tuple[FileLine, float] | None = None
        self._first: float | None = None
        self._last: float | None = None
        self._stamps: dict[str, float] = {}
        self._seed: float | None = None
        self._fetched = 0.0

    def read(self, line: FileLine) -> Iterator[Violation]:
        """Take a line that is no event."""
        if match := _TIME_TO_SOLUTION.match(line.text):
            self._times = line, float(match[1])
        if line.text.startswith("RESULT,"):
            if self.line is not None:
                problem = f"a second RESULT, after line {self.line.number}: lines of two runs"
                yield Violation("RESULT", line.number, problem, line.text)
            self.line = self.line or line

    def see(self, event: Event) -> Iterator[Violation]:
        """Take note of what the outcome is made of."""
        seconds = event.seconds
        if seconds is not None:
            self._first = self._first or seconds
            self._last = seconds
            if event.key in (constants.RUN_START, constants.RUN_STOP):
                self._stamps.setdefault(event.key, seconds)
        if event.key == constants.SEED:
            self._seed = event.number
        if event.key == "fetch_seconds":
            self._fetched = event.number or 0.0
        yield from ()

    def end(self) -> Iterator[Violation]:
        """Compare."""
        if self._times is not None and len(self._stamps) == 2:
            line, said = self._times
            seconds = self._stamps[constants.RUN_STOP] - self._stamps[constants.RUN_START]
            if abs(said - seconds) > 0.0015:  # rounded to milliseconds
                problem = f"from run_start to run_stop it was {seconds:.3f} s"
                yield Violation("time to solution", line.number, problem, line.text)
        if self.line is None:
            return
        match = _RESULT.fullmatch(self.line.text)
        if match is None:
            yield self._violation("not RESULT,CLOUDMASK,SEED,SECONDS,USER,START")
            return
        if self._seed is not None and int(match[1]) != self._seed:
            yield self._violation(f"seed {match[1]}, but the log's is {self._seed:.0f}")
        if self._first is None or self._last is None:
            return
        said, span = float(match[2]), self._last - self._first
        if said < span - 1:  # both ends are cut to whole seconds
            yield self._violation(f"{match[2]} s, but the events alone take {span:.1f} s")
        elif said > span + self._fetched + LONGEST_OVERHEAD:
            problem = f"{match[2]} s, but the events take {span:.1f} s"
            yield self._violation(problem, odd=True)

    def _violation(self, problem: str, odd: bool = False) -> Violation:
        assert self.line is not None
        return Violation("RESULT", self.line.number, problem, self.line.text, odd)
