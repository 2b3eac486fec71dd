"""What the supervisors of several nodes tell each other through the store of their meeting."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

from torch.distributed import DistError

from cloudmask.distributed.rendezvous import Rendezvous

INTERVAL = 1.0  # seconds between two signs of life
PATIENCE = 10.0  # seconds that node 0, whose store it is, waits for the others at the end


class NodeMonitor:
    """Tells the other nodes that this one is there, and notes what they tell.

    In a thread of its own, because the store answers late, or never, when its node is lost.
    `silence` gives the seconds since a rank of this node last got on.
    """

    def __init__(self, meeting: Rendezvous, silence: Callable[[], float]) -> None:
        self._meeting = meeting
        self._silence = silence
        self._others = [node for node in range(meeting.place.nodes) if node != meeting.place.rank]
        now = time.monotonic()
        self._heard = dict.fromkeys(self._others, (-1, now, 0.0))  # sign, when, its silence
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._exchange, daemon=True)
        self._thread.start()

    def lost(self, patience: float) -> str:
        """The name of a node that has given no sign for so many seconds, or ''."""
        now = time.monotonic()
        for node, (_, when, _) in self._heard.items():
            if now - when > patience:
                return self._meeting.place.name(node)
        return ""

    def least_silence(self) -> float:
        """Seconds for which no rank of any other node has got on."""
        return min(silence for _, _, silence in self._heard.values())

    def leave(self) -> None:
        """End; node 0 stays until the others have left too, as long as they still give signs."""
        self._over.set()
        self._thread.join(timeout=PATIENCE)

    def _exchange(self) -> None:
        sign = 0
        while not self._over.is_set():
            sign += 1
            self._tell_and_hear(sign)
            self._over.wait(INTERVAL)
        self._say_farewell()

    def _tell_and_hear(self, sign: int) -> None:
        store, rank = self._meeting.store, self._meeting.place.rank
        try:
            store.set(f"sign {rank}", json.dumps([sign, self._silence()]))
            for node in self._others:
                if not store.check([f"sign {node}"]):
                    continue
                their_sign, silence = json.loads(store.get(f"sign {node}"))
                if their_sign != self._heard[node][0]:
                    self._heard[node] = (their_sign, time.monotonic(), silence)
        except DistError:  # node 0 is gone or out of reach: then nobody is heard any more
            return

    def _say_farewell(self) -> None:
        store, rank = self._meeting.store, self._meeting.place.rank
        deadline = time.monotonic() + PATIENCE
        try:
            store.set(f"left {rank}", "")
            while rank == 0 and time.monotonic() < deadline:
                if store.check([f"left {node}" for node in self._others]):
                    return
                time.sleep(INTERVAL / 10)
        except DistError:
            return
