"""What a check reports about a log."""

from dataclasses import dataclass

from cloudmask.mlperf.log.events import Event
from cloudmask.mlperf.log.lines import FileLine

LONGEST_QUOTE = 600


@dataclass(frozen=True)
class Violation:
    """A broken rule or, if `warning`, something implausible that breaks no rule."""

    key: str | None  # of the event, if it is one
    line: int | None  # of the file, from 1; None if no single line is wrong
    problem: str  # a sentence, or the test that failed
    text: str = ""  # the line in question
    warning: bool = False

    @classmethod
    def in_event(cls, event: Event, problem: str, warning: bool = False) -> "Violation":
        """A violation in an event."""
        return cls(event.key or None, event.line.number, problem, event.line.text, warning)

    @classmethod
    def in_line(
        cls, line: FileLine, problem: str, key: str | None = None, warning: bool = False
    ) -> "Violation":
        """A violation in a line of the file."""
        return cls(key, line.number, problem, line.text, warning)

    def __str__(self) -> str:
        """One or two lines: key, line number and problem, then the quoted line."""
        where = [self.key] if self.key else []
        where += [f"line {self.line}"] if self.line is not None else []
        head = ": ".join([", ".join(where), self.problem] if where else [self.problem])
        if not self.text:
            return _printable(head)
        more = " ..." if len(self.text) > LONGEST_QUOTE else ""
        return f"{_printable(head)}\n    {_printable(self.text[:LONGEST_QUOTE])}{more}"


def _printable(text: str) -> str:
    """Replaces control characters: a damaged file can hold a terminal's escape sequences."""
    return "".join(x if x.isprintable() or x == "\n" else "\N{REPLACEMENT CHARACTER}" for x in text)
