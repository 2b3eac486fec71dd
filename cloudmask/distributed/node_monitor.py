"""Heartbeats between the supervisors of several nodes, through the store of their rendezvous."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from torch.distributed import DistError

from cloudmask.distributed.heartbeat import RankStatus, seconds_since_progress
from cloudmask.distributed.rendezvous import Rendezvous

HEARTBEAT_INTERVAL = 1.0  # seconds
CLOSE_TIMEOUT = 10.0  # seconds that node 0, which serves the store, waits for the others


class NodeMonitor:
    """Sends heartbeats to the other nodes of the run, and receives theirs.

    It runs in a thread of its own, because the store answers late, or never, when its node is
    lost. A heartbeat holds its number and the seconds since a rank of its node made progress.
    """

    def __init__(self, rendezvous: Rendezvous, statuses: Sequence[RankStatus]) -> None:
        self._node, self._store = rendezvous.node, rendezvous.store
        self._statuses = statuses
        self._others = [rank for rank in range(self._node.nodes) if rank != self._node.rank]
        # By node: number of the last heartbeat, when it came, seconds since progress at that time.
        self._received = dict.fromkeys(self._others, (-1, time.monotonic(), 0.0))
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._exchange, daemon=True)
        self._thread.start()

    def lost(self, timeout: float, now: float) -> str:
        """The name of a node that sent no heartbeat within `timeout` seconds, or ''."""
        for rank, (_, received, _) in self._received.items():
            if now - received > timeout:
                return self._node.name(rank)
        return ""

    def seconds_since_progress(self) -> float:
        """Seconds since any rank of any other node made progress."""
        return min(seconds for _, _, seconds in self._received.values())

    def close(self) -> None:
        """Stop; node 0 first waits for the others to stop too, because its store ends with it."""
        self._closing.set()
        self._thread.join(timeout=CLOSE_TIMEOUT)

    def _exchange(self) -> None:
        number = 0
        while not self._closing.is_set():
            number += 1
            with suppress(DistError):  # node 0 cannot be reached: no node is heard any more
                self._send_and_receive(number)
            self._closing.wait(HEARTBEAT_INTERVAL)
        with suppress(DistError):
            self._leave()

    def _send_and_receive(self, number: int) -> None:
        seconds = seconds_since_progress(self._statuses, time.monotonic())
        self._store.set(f"heartbeat {self._node.rank}", json.dumps([number, seconds]))
        for rank in self._others:
            if not self._store.check([f"heartbeat {rank}"]):
                continue
            theirs, seconds = json.loads(self._store.get(f"heartbeat {rank}"))
            if theirs != self._received[rank][0]:
                self._received[rank] = (theirs, time.monotonic(), seconds)

    def _leave(self) -> None:
        self._store.set(f"left {self._node.rank}", "")
        deadline = time.monotonic() + CLOSE_TIMEOUT
        while self._node.rank == 0 and time.monotonic() < deadline:
            if self._store.check([f"left {rank}" for rank in self._others]):
                return
            time.sleep(HEARTBEAT_INTERVAL / 10)
