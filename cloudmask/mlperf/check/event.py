"""One event of a log whose fields may be anything, and what looks at events."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mlperf_logging.mllog import constants

from cloudmask.mlperf.check.violation import Violation
from cloudmask.mlperf.log.lines import LogLine


@dataclass(frozen=True)
class Event:
    """An MLLOG line with a record; nothing but the presence of the fields is taken for granted."""

    line: LogLine
    record: dict[str, Any]

    @property
    def key(self) -> str:
        """The key; '' if it is no string."""
        return key if isinstance(key := self.record["key"], str) else ""

    @property
    def seconds(self) -> float | None:
        """Seconds since 1970, None if the time stamp is no positive number."""
        stamp = number(self.record["time_ms"])
        return stamp / 1000 if stamp is not None and stamp > 0 else None

    @property
    def number(self) -> float | None:
        """The value, None if it is no finite number."""
        return number(self.record["value"])

    @property
    def epoch(self) -> float | None:
        """The number of the epoch it belongs to."""
        return number(self.metadata(constants.EPOCH_NUM))

    def metadata(self, name: str) -> Any:
        """A value of the metadata, None if there is none."""
        metadata = self.record["metadata"]
        return metadata.get(name) if isinstance(metadata, dict) else None

    def violation(self, problem: str, odd: bool = False) -> Violation:
        """An objection to this event."""
        return Violation(self.key or None, self.line.number, problem, self.line.text, odd)


class Witness(ABC):
    """Follows the events of a log and objects to what it knows of."""

    @abstractmethod
    def see(self, event: Event) -> Iterator[Violation]:
        """What is wrong with an event, after those before it."""

    def end(self) -> Iterator[Violation]:
        """What is wrong with the whole, when all events have been seen."""
        yield from ()


def event_of(line: LogLine | None) -> Event | None:
    """The event in a line, None if its text is no record."""
    return None if line is None or line.record is None else Event(line, line.record)


def number(value: Any) -> float | None:
    """A finite JSON number, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
