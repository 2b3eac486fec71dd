"""What a run says more than once: epochs, evaluations and rates, which must agree."""

import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field

from mlperf_logging.mllog import constants

from cloudmask.mlperf.check.event import Event, Witness, number
from cloudmask.mlperf.check.violation import Violation
from cloudmask.mlperf.log.run_summary import EVAL_WBCE, TARGET_ACCURACY

# A rate is measured next to the time stamps, not at them, and by another clock; a time stamp is
# written when the disk lets it.
RATE_TOLERANCE_SECONDS, RATE_TOLERANCE_SHARE = 1.0, 0.02
# tracked_stats are rounded to six decimals.
ROUNDING = 1e-6
# Of which the durations are remembered.
MOST_EPOCHS = 2000
SLOW_EPOCH_TIMES, SLOW_EPOCH_SECONDS = 5, 60.0

TRACKED_STATS = "tracked_stats"
DECLARED = (
    constants.TRAIN_SAMPLES,
    constants.EVAL_SAMPLES,
    "patch_size",
    TARGET_ACCURACY,
    "max_epochs",
)
_SHARES = re.compile(r"accuracy|precision|recall|\bf1\b|intersection_over_union")


@dataclass
class Epoch:
    """What was logged of one epoch: the first event of each key."""

    events: dict[str, Event] = field(default_factory=dict)

    def between(self, start: str, stop: str) -> float | None:
        """Seconds between two of its events, None if either is missing or has no time."""
        first, last = (
            self.events[key].seconds if key in self.events else None for key in (start, stop)
        )
        return None if first is None or last is None else last - first


class Account(Witness):
    """Epochs and evaluations against each other, the declared counts, and the time stamps."""

    def __init__(self) -> None:
        self._declared: dict[str, float] = {}
        self._epoch = Epoch()
        self._durations: list[tuple[float, Event]] = []
        self._accuracy: Event | None = None
        self._met: Event | None = None

    def see(self, event: Event) -> Iterator[Violation]:
        """Add an event to the account of its epoch."""
        if event.key in DECLARED and event.number is not None:
            self._declared.setdefault(event.key, event.number)
        if event.key in (constants.EPOCH_START, constants.RUN_STOP):
            yield from self._close_epoch()
        if event.key == constants.EPOCH_START:
            yield from self._begin_epoch(event)
        elif event.key == constants.RUN_STOP:
            yield from self._stop_run(event)
        elif event.key in _OF_AN_EPOCH:
            if event.key in self._epoch.events:
                yield event.violation(f"a second {event.key} in one epoch")
            self._epoch.events.setdefault(event.key, event)
        if event.key == constants.EVAL_ACCURACY:
            self._accuracy = event
        yield from _shares_out_of_range(event)

    def end(self) -> Iterator[Violation]:
        """What only all epochs together show."""
        yield from self._close_epoch()
        if len(self._durations) > 2:
            usual = statistics.median(seconds for seconds, _ in self._durations)
            for seconds, event in self._durations:
                if seconds > SLOW_EPOCH_TIMES * usual + SLOW_EPOCH_SECONDS:
                    yield event.violation(
                        f"took {seconds:.0f} s, the usual epoch {usual:.0f} s: was the machine "
                        "asleep, or shared?",
                        odd=True,
                    )

    def _begin_epoch(self, event: Event) -> Iterator[Violation]:
        self._epoch = Epoch({event.key: event})
        most = self._declared.get("max_epochs")
        if most is not None and event.epoch is not None and event.epoch > most:
            yield event.violation(f"epoch {event.epoch:g}, but max_epochs is {most:g}")
        if self._met is not None:
            yield event.violation(
                f"training went on after line {self._met.line.number} had met the target", odd=True
            )
            self._met = None

    def _close_epoch(self) -> Iterator[Violation]:
        """Look at an epoch when all its events have been seen."""
        events = self._epoch.events
        started = events.get(constants.EPOCH_START)
        evaluated = events.get(constants.EVAL_STOP)
        for key in (constants.EVAL_ACCURACY, EVAL_WBCE):
            if evaluated is not None and key not in events:
                yield evaluated.violation(f"an evaluation without {key}")
        if started is not None and constants.EPOCH_STOP in events and evaluated is None:
            yield started.violation("an epoch without an evaluation", odd=True)
        if TRACKED_STATS in events:
            yield from self._tracked(events[TRACKED_STATS])
        seconds = self._epoch.between(constants.EPOCH_START, constants.EPOCH_STOP)
        if started is not None and seconds is not None and len(self._durations) < MOST_EPOCHS:
            self._durations.append((seconds, started))
        accuracy = events.get(constants.EVAL_ACCURACY)
        if accuracy is not None and self._reaches(accuracy):
            self._met = accuracy
        self._epoch = Epoch()

    def _tracked(self, event: Event) -> Iterator[Violation]:
        """Compare tracked_stats with the epoch's other events and the declared counts."""
        stats = event.record["value"]
        if not isinstance(stats, dict):
            return
        for name, logged in (("accuracy", constants.EVAL_ACCURACY), ("wbce", EVAL_WBCE)):
            first = number(stats.get(name))
            second = self._epoch.events[logged].number if logged in self._epoch.events else None
            if first is not None and second is not None and abs(first - second) > ROUNDING:
                yield event.violation(f"{name} is {first:g}, but {logged} is {second:g}")
        for name, samples, start, stop in _RATES:
            rate, count = number(stats.get(name)), self._declared.get(samples)
            seconds = self._epoch.between(start, stop)
            if rate is None or count is None or seconds is None:
                continue
            counted = count / rate if rate > 0 else float("inf")
            tolerance = RATE_TOLERANCE_SECONDS + RATE_TOLERANCE_SHARE * seconds
            if abs(counted - seconds) > tolerance:
                yield event.violation(
                    f"{name} is {rate:g} a second, so {samples} = {count:g} took {counted:.1f} s, "
                    f"but from {start} to {stop} it was {seconds:.1f} s"
                )
        pixels = number(stats.get("pixels"))
        if pixels is not None and {constants.EVAL_SAMPLES, "patch_size"} <= set(self._declared):
            patches, side = self._declared[constants.EVAL_SAMPLES], self._declared["patch_size"]
            if pixels != patches * side * side:
                yield event.violation(
                    f"{pixels:.0f} pixels were evaluated, but eval_samples is {patches:g} patches "
                    f"of {side:g} x {side:g}"
                )

    def _stop_run(self, event: Event) -> Iterator[Violation]:
        succeeded = event.metadata(constants.STATUS) == constants.SUCCESS
        if succeeded and self._accuracy is not None and not self._reaches(self._accuracy):
            yield event.violation(
                f"status is success, but the last eval_accuracy is {self._accuracy.number} and "
                f"target_accuracy is {self._declared.get('target_accuracy')}"
            )

    def _reaches(self, accuracy: Event) -> bool:
        target = self._declared.get(TARGET_ACCURACY, 0.0)
        return accuracy.number is not None and accuracy.number >= target


_OF_AN_EPOCH = {
    constants.EPOCH_STOP,
    constants.EVAL_START,
    constants.EVAL_STOP,
    constants.EVAL_ACCURACY,
    EVAL_WBCE,
    TRACKED_STATS,
}
# Name of a rate, what it counts, and between which events.
_RATES = (
    ("train_throughput", constants.TRAIN_SAMPLES, constants.EPOCH_START, constants.EPOCH_STOP),
    ("eval_throughput", constants.EVAL_SAMPLES, constants.EVAL_START, constants.EVAL_STOP),
)


def _shares_out_of_range(event: Event) -> Iterator[Violation]:
    """Accuracies and their kin lie between 0 and 1."""
    value = event.record["value"]
    figures = value.items() if isinstance(value, dict) else [(event.key, value)]
    if event.key not in (constants.EVAL_ACCURACY, TRACKED_STATS, "result"):
        return
    for name, figure in figures:
        share = number(figure) if _SHARES.search(str(name)) else None
        if share is not None and not 0 <= share <= 1:
            yield event.violation(f"{name} is {share:g}, outside 0 to 1")
