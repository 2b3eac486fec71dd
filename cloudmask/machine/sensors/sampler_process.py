"""Starts and stops the sampler process of a node."""

import json
import select
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cloudmask.source import SOURCE_ROOT

SAMPLER = "cloudmask.machine.sensors.sampler"
DEVICES = Path("/sys/class")  # below it, the kernel shows powercap and hwmon
TIMEOUT = 30.0  # seconds; drivers of many GPUs take some seconds to open


class SamplerProcess:
    """The sampler of this node. If it fails, the run continues and the reason is recorded.

    `unavailable` lists why sensors are unavailable, or why the sampler failed; `measures_power` is
    known after `start_sampling`.
    """

    def __init__(
        self,
        file: Path,
        seconds: float,
        gpus: Sequence[str] = (),
        devices: Path = DEVICES,
        command: str = "",
    ) -> None:
        """Start the process; it opens its sensors and waits.

        Args:
            gpus: PCI addresses.
            command: prints the watts of the whole node.
        """
        self.file = file.resolve()
        self.unavailable: list[str] = []
        self.measures_power = False
        self.node_meters: list[str] = []  # what measures the whole node: one at most
        self._sampling = False
        self._statistics: dict[str, Any] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", SAMPLER, self.file, str(seconds), devices, command, *gpus],
            cwd=SOURCE_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )

    def start_sampling(self) -> None:
        """Start sampling, and wait for the first sample."""
        self._sampling = self._wait_for_message()
        if self._sampling:
            self._send("start")
            self._sampling = self._wait_for_message()
        if not self._sampling:
            self.unavailable.append(f"the sampler did not answer within {TIMEOUT:.0f} s")
            self._process.kill()

    def stop(self) -> dict[str, Any]:
        """Take a last sample and stop the process; returns its own `sampler_cpu_seconds`."""
        if self._sampling:
            self._send("stop")
        try:
            output, errors = self._process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            output, errors = self._process.communicate()
        if self._sampling and self._process.returncode != 0:
            last = (errors.decode(errors="replace").strip().splitlines() or ["no answer"])[-1]
            self.unavailable.append(f"the sampler failed: {last}")
        for line in output.splitlines():
            self._read_message(line)
        return self._statistics

    def _wait_for_message(self) -> bool:
        """Read a message; True too at the end of the process, whose exit code `stop` checks."""
        assert self._process.stdout is not None
        ready = bool(select.select([self._process.stdout], [], [], TIMEOUT)[0])
        if ready:
            self._read_message(self._process.stdout.readline())
        return ready

    def _send(self, command: str) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # the process has failed: `stop` reports it
            self._process.stdin.write(f"{command}\n".encode())

    def _read_message(self, line: bytes) -> None:
        message: dict[str, Any] = json.loads(line) if line.strip() else {}
        self.unavailable += message.pop("unavailable", [])
        self.measures_power = message.pop("measures_power", self.measures_power)
        self.node_meters += message.pop("node_meters", [])
        self._statistics |= message
