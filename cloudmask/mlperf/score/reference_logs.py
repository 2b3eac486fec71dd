"""Logs of CloudMask's reference implementation, as far as they tell anything.

They hold the time stamps of training and of inference, and no accuracy: the target of 0.9 is
nowhere in them, so they have times, but no time to solution.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from mlperf_logging.mllog import constants

from cloudmask.mlperf.log.events import EventLog


@dataclass(frozen=True)
class ReferenceRun:
    """The times that a reference log tells, in seconds; None for a part that it does not have."""

    organisation: str
    ranks: int  # as logged; 0 if not logged
    training: float | None
    inference: float | None

    @property
    def sentence(self) -> str:
        """The times in words."""
        parts = [("training", self.training), ("inference", self.inference)]
        known = [f"{name} {seconds:.0f} s" for name, seconds in parts if seconds is not None]
        return f"{', '.join(known) or 'no times'}; no accuracy is logged, so no time to solution"


def read_reference_log(path: Path) -> ReferenceRun:
    """Read a log that `is_reference_log` recognises.

    Its two pairs of eval_start and eval_stop are training and inference, in this order.

    Raises:
        InputError: the file cannot be read.
    """
    log = EventLog(path, skip_invalid=True)
    ends = sorted(
        (event.record["time_ms"], event.key)
        for key in (constants.EVAL_START, constants.EVAL_STOP)
        for event in log.all(key)
    )
    seconds = [
        (stop - start) / 1000
        for (start, first), (stop, second) in pairwise(ends)
        if (first, second) == (constants.EVAL_START, constants.EVAL_STOP)
    ]
    training, inference, *_ = [*seconds, None, None]
    return ReferenceRun(
        organisation=str(log.last_value(constants.SUBMISSION_ORG) or "unknown"),
        ranks=log.last_count("number_of_ranks"),
        training=training,
        inference=inference,
    )
