"""The interface of the checks that read a log event by event."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from cloudmask.mlperf.check.violation import Violation
from cloudmask.mlperf.log.events import Event


class EventCheck(ABC):
    """Reads the events of a log in order and yields violations."""

    @abstractmethod
    def read(self, event: Event) -> Iterator[Violation]:
        """The violations of an event, given the events before it."""

    def finish(self) -> Iterator[Violation]:
        """The violations that only all events together show, after the last event."""
        yield from ()
