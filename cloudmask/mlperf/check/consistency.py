"""Checks that epochs, evaluations and rates of a log agree with each other."""

import re
import statistics
from collections.abc import Iterator

from mlperf_logging.mllog import constants

from cloudmask.mlperf.check.event_check import EventCheck
from cloudmask.mlperf.check.violation import Violation
from cloudmask.mlperf.log.events import Event, number
from cloudmask.mlperf.log.run_summary import EVAL_WBCE, TARGET_ACCURACY

# A rate is measured by another clock than the time stamps, which are taken when a line is written.
RATE_TOLERANCE_SECONDS, RATE_TOLERANCE_SHARE = 1.0, 0.02
ROUNDING = 1e-6  # tracked_stats are rounded to six decimals
MOST_EPOCHS = 2000  # of which the durations are stored
# An epoch is slow if it takes longer than this many times the median plus these seconds.
SLOW_EPOCH_FACTOR, SLOW_EPOCH_SECONDS = 5, 60.0

TRACKED_STATS = "tracked_stats"
MAX_EPOCHS, PATCH_SIZE = "max_epochs", "patch_size"
BENCHMARK_TARGET = 0.9  # validation accuracy; of a log that does not say its own
PARAMETERS = (
    *(constants.TRAIN_SAMPLES, constants.EVAL_SAMPLES),
    *(PATCH_SIZE, TARGET_ACCURACY, MAX_EPOCHS),
)
_SHARES = re.compile(r"accuracy|precision|recall|\bf1\b|intersection_over_union")
_EPOCH_KEYS = {
    *(constants.EPOCH_STOP, constants.EVAL_START, constants.EVAL_STOP),
    *(constants.EVAL_ACCURACY, EVAL_WBCE, TRACKED_STATS),
}
# Name of a rate, the samples it counts, and the interval it is of.
_RATES = (
    ("train_throughput", constants.TRAIN_SAMPLES, constants.EPOCH_START, constants.EPOCH_STOP),
    ("eval_throughput", constants.EVAL_SAMPLES, constants.EVAL_START, constants.EVAL_STOP),
)


class ConsistencyCheck(EventCheck):
    """Compares the events of each epoch with each other and with the logged parameters."""

    def __init__(self) -> None:
        self._parameters: dict[str, float] = {}
        self._epoch: dict[str, Event] = {}  # the first event of each key of the current epoch
        self._durations: list[tuple[float, Event]] = []
        self._last_accuracy: Event | None = None
        self._target_met: Event | None = None

    def read(self, event: Event) -> Iterator[Violation]:
        """Check an event against those of its epoch."""
        if event.key in PARAMETERS and event.number is not None:
            self._parameters.setdefault(event.key, event.number)
        if event.key in (constants.EPOCH_START, constants.RUN_STOP):
            yield from self._close_epoch()
        if event.key == constants.EPOCH_START:
            yield from self._begin_epoch(event)
        elif event.key == constants.RUN_STOP:
            yield from self._stop_run(event)
        elif event.key in _EPOCH_KEYS:
            if event.key in self._epoch:
                yield Violation.in_event(event, f"a second {event.key} in one epoch")
            self._epoch.setdefault(event.key, event)
        if event.key == constants.EVAL_ACCURACY:
            self._last_accuracy = event
        yield from _check_shares(event)

    def finish(self) -> Iterator[Violation]:
        """Compare the duration of each epoch with the median.

        The first may be slow: there, many programs compile, and fill their caches.
        """
        yield from self._close_epoch()
        if len(self._durations) > 2:
            median = statistics.median(seconds for seconds, _ in self._durations)
            for seconds, event in self._durations[1:]:
                if seconds > SLOW_EPOCH_FACTOR * median + SLOW_EPOCH_SECONDS:
                    problem = (
                        f"took {seconds:.0f} s, the median epoch {median:.0f} s: was the machine "
                        "suspended or shared?"
                    )
                    yield Violation.in_event(event, problem, warning=True)

    def _begin_epoch(self, event: Event) -> Iterator[Violation]:
        self._epoch = {event.key: event}
        most = self._parameters.get(MAX_EPOCHS)
        if most is not None and event.epoch is not None and event.epoch > most:
            problem = f"epoch {event.epoch:g}, but max_epochs is {most:g}"
            yield Violation.in_event(event, problem)
        if self._target_met is not None:
            line = self._target_met.line.number
            problem = f"training went on after line {line} had met the target"
            yield Violation.in_event(event, problem, warning=True)
            self._target_met = None

    def _close_epoch(self) -> Iterator[Violation]:
        """Check an epoch after its last event."""
        events = self._epoch
        started, evaluated = events.get(constants.EPOCH_START), events.get(constants.EVAL_STOP)
        for key in (constants.EVAL_ACCURACY, EVAL_WBCE):
            if evaluated is not None and key not in events:
                yield Violation.in_event(evaluated, f"an evaluation without {key}")
        if started is not None and constants.EPOCH_STOP in events and evaluated is None:
            yield Violation.in_event(started, "an epoch without an evaluation", warning=True)
        stats = events.get(TRACKED_STATS)
        if stats is not None and isinstance(stats.value, dict):
            for problem in self._wrong_statistics(stats.value):
                yield Violation.in_event(stats, problem)
        seconds = self._seconds(constants.EPOCH_START, constants.EPOCH_STOP)
        if started is not None and seconds is not None and len(self._durations) < MOST_EPOCHS:
            self._durations.append((seconds, started))
        accuracy = events.get(constants.EVAL_ACCURACY)
        if accuracy is not None and self._meets_target(accuracy):
            self._target_met = accuracy
        self._epoch = {}

    def _wrong_statistics(self, stats: dict[str, object]) -> Iterator[str]:
        """Compare tracked_stats with the epoch's other events and the logged parameters."""
        for name, key in (("accuracy", constants.EVAL_ACCURACY), ("wbce", EVAL_WBCE)):
            tracked = number(stats.get(name))
            logged = self._epoch[key].number if key in self._epoch else None
            if tracked is not None and logged is not None and abs(tracked - logged) > ROUNDING:
                yield f"{name} is {tracked:g}, but {key} is {logged:g}"
        for name, samples, start, stop in _RATES:
            rate, count = number(stats.get(name)), self._parameters.get(samples)
            seconds = self._seconds(start, stop)
            if rate is None or count is None or seconds is None:
                continue
            expected = count / rate if rate > 0 else float("inf")
            tolerance = RATE_TOLERANCE_SECONDS + RATE_TOLERANCE_SHARE * seconds
            if abs(expected - seconds) > tolerance:
                yield (
                    f"{name} is {rate:g} a second, so {samples} = {count:g} took {expected:.1f} s, "
                    f"but from {start} to {stop} it was {seconds:.1f} s"
                )
        pixels = number(stats.get("pixels"))
        patches = self._parameters.get(constants.EVAL_SAMPLES)
        side = self._parameters.get(PATCH_SIZE)
        if pixels is None or patches is None or side is None:
            return
        if pixels != patches * side * side:
            yield (
                f"{pixels:.0f} pixels were evaluated, but eval_samples is {patches:g} patches "
                f"of {side:g} x {side:g}"
            )

    def _stop_run(self, event: Event) -> Iterator[Violation]:
        succeeded = event.metadata(constants.STATUS) == constants.SUCCESS
        accuracy = self._last_accuracy
        if succeeded and accuracy is not None and not self._meets_target(accuracy):
            yield Violation.in_event(
                event,
                f"status is success, but the last eval_accuracy is {accuracy.number} and "
                f"target_accuracy is {self._parameters.get(TARGET_ACCURACY, BENCHMARK_TARGET)}",
            )

    def _meets_target(self, accuracy: Event) -> bool:
        target = self._parameters.get(TARGET_ACCURACY, BENCHMARK_TARGET)
        return accuracy.number is not None and accuracy.number >= target

    def _seconds(self, start: str, stop: str) -> float | None:
        """Seconds between two events of the epoch; None if one is missing or has no time."""
        first, last = (
            self._epoch[key].seconds if key in self._epoch else None for key in (start, stop)
        )
        return None if first is None or last is None else last - first


def _check_shares(event: Event) -> Iterator[Violation]:
    """Accuracy, precision, recall, F1 and intersection over union are from 0 to 1."""
    if event.key not in (constants.EVAL_ACCURACY, TRACKED_STATS, "result"):
        return
    values = event.value.items() if isinstance(event.value, dict) else [(event.key, event.value)]
    for name, value in values:
        share = number(value) if _SHARES.search(str(name)) else None
        if share is not None and not 0 <= share <= 1:
            yield Violation.in_event(event, f"{name} is {share:g}, outside 0 to 1")
