"""How far the files of a fetch in this process have been written."""

from __future__ import annotations

import threading


class WrittenBlocks:
    """How far the files of a fetch have been written."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._positions: dict[str, int] = {}

    def record(self, path: str, position: int) -> None:
        """The file has been written up to this position."""
        with self._changed:
            self._positions[path] = position
            self._changed.notify_all()

    def wait_for(self, scene: str, position: int) -> None:
        """Wait until a scene has been written up to a position."""
        with self._changed:
            self._changed.wait_for(lambda: self._positions.get(scene + ".part", 0) >= position)
