"""The sampler as seen by the process that starts it."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cloudmask.machine.sensors.rapl import POWERCAP
from cloudmask.source import SOURCE_ROOT

SAMPLER = "cloudmask.machine.sensors.sampler"
# Drivers of many GPUs take seconds to be opened; one that takes longer does not answer at all.
PATIENCE = 30.0


class Background:
    """A sampler in the background; whatever befalls it, the run goes on, and it is said why.

    `absent` says which sensors of power there are not, and what went wrong; `measures_power`
    whether there is any. Both are known when it has begun.
    """

    def __init__(
        self, file: Path, seconds: float, gpus: Sequence[str] = (), powercap: Path = POWERCAP
    ) -> None:
        """Start it; `gpus` are PCI addresses. It does not sample yet."""
        self.file = file.resolve()
        self.absent: list[str] = []
        self.measures_power = False
        self._begun = False
        self._own: dict[str, Any] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", SAMPLER, self.file, str(seconds), powercap, *gpus],
            cwd=SOURCE_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )

    def begin(self) -> None:
        """Sample from now on; waits until the first sample is taken."""
        self._begun = self._answers()
        if self._begun:
            self._order("begin")
            self._begun = self._answers()
        if not self._begun:
            self.absent.append(f"the sampler did not answer within {PATIENCE:.0f} s")
            self._process.kill()

    def end(self) -> dict[str, Any]:
        """Take a last sample and stop; returns `sampler_cpu_seconds`, what it used itself."""
        if self._begun:
            self._order("end")
        try:
            said, complaint = self._process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            said, complaint = self._process.communicate()
        if self._begun and self._process.returncode != 0:
            last = (complaint.decode(errors="replace").strip().splitlines() or ["no answer"])[-1]
            self.absent.append(f"the sampler failed: {last}")
        for line in said.splitlines():
            self._hear(line)
        return self._own

    def _answers(self) -> bool:
        """Wait for a line, or for the end of the process, and take it in."""
        assert self._process.stdout is not None
        came = bool(select.select([self._process.stdout], [], [], PATIENCE)[0])
        if came:
            self._hear(self._process.stdout.readline())
        return came

    def _order(self, word: str) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has failed, which the end will tell
            self._process.stdin.write(f"{word}\n".encode())

    def _hear(self, line: bytes) -> None:
        said: dict[str, Any] = json.loads(line) if line.strip() else {}
        self.absent += said.pop("absent", [])
        self.measures_power = said.pop("measures_power", self.measures_power)
        self._own |= said
