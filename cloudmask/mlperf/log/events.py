"""The events of a log, read without trust in their fields."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlperf_logging.mllog import constants

from cloudmask.errors import InputError
from cloudmask.mlperf.log.lines import LogLine, read_lines

LARGEST = 1e14  # valid time stamps and epochs are below; in ms, the year 5138


@dataclass(frozen=True)
class Event:
    """An MLLOG line with a record. The record has all fields; they can hold any JSON value."""

    line: LogLine
    record: dict[str, Any]

    @property
    def key(self) -> str:
        """The key; '' if it is not a string."""
        return key if isinstance(key := self.record["key"], str) else ""

    @property
    def value(self) -> Any:
        """The value, of any type."""
        return self.record["value"]

    @property
    def number(self) -> float | None:
        """The value; None if it is not a finite number."""
        return number(self.value)

    @property
    def seconds(self) -> float | None:
        """Seconds since 1970; None if the time stamp is not a positive number."""
        stamp = number(self.record["time_ms"])
        return stamp / 1000 if stamp is not None and stamp > 0 else None

    @property
    def epoch(self) -> float | None:
        """The epoch number in the metadata; None if there is none."""
        return number(self.metadata(constants.EPOCH_NUM))

    @property
    def valid(self) -> bool:
        """Whether key, time stamp and metadata are of the types that the MLLOG format requires."""
        stamp = number(self.record["time_ms"])
        return (
            isinstance(self.record["key"], str)
            and isinstance(self.record["metadata"], dict | None)
            and stamp is not None
            and abs(stamp) < LARGEST
        )

    def metadata(self, name: str) -> Any:
        """A value of the metadata; None if there is none."""
        metadata = self.record["metadata"]
        return metadata.get(name) if isinstance(metadata, dict) else None


NO_EVENT = "holds no event of a run; give a result_N.txt."


class EventLog:
    """The events of one log, by key.

    Raises:
        InputError: the file cannot be read, or has an invalid line (unless `skip_invalid`).
    """

    def __init__(self, path: Path, skip_invalid: bool = False) -> None:
        self.path = path
        self._by_key: dict[str, list[Event]] = {}
        for line in read_lines(path):
            event = event_of(line)
            if event is not None and event.valid:
                self._by_key.setdefault(event.key, []).append(event)
            elif not skip_invalid:
                raise InputError(f"{path}: line {line.number} is not a valid MLLOG line.")

    @property
    def latest(self) -> Event:
        """The event with the latest time stamp.

        Raises:
            InputError: the log has no event.
        """
        events = [event for found in self._by_key.values() for event in found]
        if not events:
            raise InputError(f"{self.path}: {NO_EVENT}")
        return max(events, key=lambda event: event.record["time_ms"])

    def all(self, key: str) -> list[Event]:
        """All events with this key, in the order of the file."""
        return self._by_key.get(key, [])

    def only(self, key: str) -> Event:
        """The single event with this key.

        Raises:
            InputError: there is none, or more than one.
        """
        if not self._by_key:
            raise InputError(f"{self.path}: {NO_EVENT}")
        events = self.all(key)
        if len(events) != 1:
            raise InputError(
                f"{self.path}: '{key}' occurs {len(events)} times, expected once; "
                "give the log of one whole run."
            )
        return events[0]

    def last(self, key: str) -> Event | None:
        """The last event with this key; None if there is none."""
        return next(reversed(self.all(key)), None)

    def last_value(self, key: str) -> Any:
        """The value of the last event with this key; None if there is none."""
        return event.value if (event := self.last(key)) else None

    def only_number(self, key: str) -> float:
        """The finite number in the single event with this key; raises as `only` and `as_float`."""
        return self.as_float(key, self.only(key).value, finite=True)

    def last_count(self, key: str) -> int:
        """The number in the last event with this key; 0 if there is none."""
        value = self.last_value(key)
        return 0 if value is None else int(self.as_float(key, value, finite=True))

    def last_float(self, key: str) -> float:
        """The number in the last event with this key, which can be NaN; NaN if there is none."""
        return self.as_float(key, self.last_value(key)) if self.all(key) else math.nan

    def last_dictionary(self, key: str) -> dict[str, Any]:
        """The dictionary in the last event with this key; {} if there is none."""
        value = self.last_value(key)
        return value if isinstance(value, dict) else {}

    def total_seconds(self, start: str, stop: str) -> float | None:
        """The total duration of all intervals between these keys; None if there is none."""
        intervals = list(zip(self.all(start), self.all(stop), strict=False))
        milliseconds = sum(
            end.record["time_ms"] - begin.record["time_ms"] for begin, end in intervals
        )
        return milliseconds / 1000 if intervals else None

    def as_float(self, key: str, value: Any, finite: bool = False) -> float:
        """The value of an event with this key as a number.

        Raises:
            InputError: it is not a number, or not a finite one.
        """
        try:
            if not math.isfinite(found := float(value)) and finite:
                raise ValueError("not finite")
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{self.path}: '{key}' is {value!r}, expected a number.") from error
        return found


def event_of(line: LogLine | None) -> Event | None:
    """The event in a line; None if the line has no MLLOG record."""
    return None if line is None or line.record is None else Event(line, line.record)


def number(value: Any) -> float | None:
    """A finite JSON number; None for any other value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
