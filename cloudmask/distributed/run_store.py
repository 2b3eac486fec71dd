"""What the supervisors of a run in several parts tell each other, through torch's TCP store.

The supervisor of rank 0 serves the store, or torchrun does. Ranks meet there as well.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from threading import Thread
from typing import TypeVar

from torch._C._distributed_c10d import PrefixStore, TCPStore
from torch.distributed import DistError

from cloudmask.distributed.launcher import AGENT_STORE, Part, is_reached
from cloudmask.errors import InputError

FAILURE, LOG_COMPLETE, LEFT = "failure", "log complete", "left"
# A part whose rank only lost another waits so long for the failure that caused it.
CAUSE_TIMEOUT = 20.0  # seconds
# A part that failed waits so long for the log of the run to be completed, because launchers kill
# every process when the first one exits.
LEAVE_TIMEOUT = 10.0  # seconds
GRACE = 2.0  # seconds for an answer of the store
POLL_INTERVAL = 0.05  # seconds
LOOPBACK = "127.0.0.1"  # which stays when a network is lost

T = TypeVar("T")


@dataclass(frozen=True)
class SharedFailure:
    """The first failure of a run, and the first rank of the part that had it."""

    first_rank: int
    exit_code: int
    reason: str


class RunStore:
    """The store of a run, for the supervisor of one part.

    Raises:
        InputError: this part serves the store, and its port is in use.
        OSError, DistError: another serves it, and cannot be reached within `timeout` seconds.
    """

    def __init__(self, part: Part, attempt: int, timeout: float = CAUSE_TIMEOUT) -> None:
        self._part = part
        self.serves = serves_store(part)
        if not self.serves and not is_reached(part.address, part.port, timeout):
            raise OSError(f"nothing listens at {part.address}:{part.port}")
        try:
            store = TCPStore(
                LOOPBACK if self.serves else part.address,
                part.port,
                is_master=self.serves,
                timeout=timedelta(seconds=CAUSE_TIMEOUT),
                wait_for_workers=False,
            )
        except DistError as error:
            if not self.serves:
                raise
            raise InputError(
                f"port {part.port} of {part.address} cannot be opened on this node, which has "
                "rank 0: set MASTER_PORT to one that is free, the same on every node"
            ) from error
        self._store = PrefixStore(f"supervisors {attempt}", store)

    def share_failure(
        self, exit_code: int, reason: str, is_consequence: bool = False
    ) -> SharedFailure:
        """Tell a failure to the other parts; returns the first one that was told.

        A failure that is only a consequence of another gives that one time to be told.
        """
        mine = SharedFailure(self._part.first_rank, exit_code, reason)

        def tell() -> SharedFailure:
            if is_consequence:
                with suppress(DistError):  # it has not been told
                    self._store.wait([FAILURE], timedelta(seconds=CAUSE_TIMEOUT))
            told = self._store.compare_set(FAILURE, "", json.dumps(asdict(mine)))
            return SharedFailure(**json.loads(told))

        return self._answer(tell, CAUSE_TIMEOUT + GRACE) or mine

    def failure(self) -> SharedFailure | None:
        """The failure that was told first, if any was."""

        def ask() -> SharedFailure | None:
            if not self._store.check([FAILURE]):
                return None
            return SharedFailure(**json.loads(self._store.get(FAILURE)))

        return self._answer(ask, GRACE)

    def leave(self) -> None:
        """Wait until the log is complete or, on the part that serves the store, all have left."""

        def wait() -> None:
            left = self._store.add(LEFT, self._part.count)
            if self._part.first_rank > 0:
                self._store.wait([LOG_COMPLETE], timedelta(seconds=CAUSE_TIMEOUT))
                return
            self._store.set(LOG_COMPLETE, "")
            deadline = time.monotonic() + LEAVE_TIMEOUT
            while self.serves and left < self._part.size and time.monotonic() < deadline:
                time.sleep(POLL_INTERVAL)
                left = self._store.add(LEFT, 0)

        self._answer(wait, CAUSE_TIMEOUT + GRACE)

    @staticmethod
    def _answer(action: Callable[[], T], seconds: float) -> T | None:
        """What an action on the store returns; None if the store fails or does not answer in time.

        torch waits for ever for a store whose node is cut off.
        """
        answers: list[T] = []

        def act() -> None:
            with suppress(DistError):
                answers.append(action())

        thread = Thread(target=act, daemon=True)
        thread.start()
        thread.join(seconds)
        return answers[0] if answers else None


def serves_store(part: Part) -> bool:
    """Whether the supervisor of this part serves the store: torchrun mostly does that itself."""
    return part.first_rank == 0 and os.environ.get(AGENT_STORE) != "True"


def is_first_to_fail(part: Part, exit_code: int, reason: str) -> bool:
    """Whether no other part has told a failure before: each failure is printed once.

    For what fails before this part has started a rank.
    """
    try:
        store = RunStore(part, restarts_by_launcher())
    except (OSError, DistError, InputError):
        return True
    first = store.share_failure(exit_code, reason)
    store.leave()
    return first.first_rank == part.first_rank


def restarts_by_launcher() -> int:
    """How often torchrun has restarted the ranks."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
