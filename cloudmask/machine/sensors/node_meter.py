"""Power of the whole node, as its power supplies, its mainboard or its service processor tell it.

The first that there is: the command of `--power-command` (IPMI, Redfish: it prints watts), a power
meter of hwmon (https://docs.kernel.org/hwmon/acpi_power_meter.html), the platform domain of RAPL.
"""

import re
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from cloudmask.machine.sensors.rapl import platform_counter
from cloudmask.machine.sensors.sensor_error import SensorError

ANSWER_SECONDS = 5.0  # a service processor takes 0.05 to 2 s
LONGEST_GAP = 10.0  # seconds without an answer, after which the measurement ends
_HWMON_METER = "power_meter"  # the driver of ACPI's meter of the whole node
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")


class NodeMeter:
    """Joules of the whole node since the first reading, as the column node_joules.

    Power is integrated over the time between answers: a missed answer's time counts with the next.

    Raises:
        SensorError: nothing measures the node, or its command fails.
    """

    def __init__(self, devices: Path, command: str = "") -> None:
        """Open the meter: `devices` is /sys/class, `command` prints watts as its first number."""
        self._joules = 0.0
        self._answered: float | None = None
        self._watts: Callable[[], float] | None = None
        if command:
            self._watts = lambda: _command_watts(command)
            self._watts()
            self.name = command
        elif meter := _hwmon_meter(devices / "hwmon"):
            self._watts = lambda: int(meter.read_text()) / 1e6
            self.name = f"hwmon {meter.name}"
        else:
            self._counter = platform_counter(devices / "powercap")
            self.name = "RAPL psys"

    def read(self) -> dict[str, float]:
        """The energy by column.

        Raises:
            SensorError: the meter has not answered for longer than `LONGEST_GAP`.
        """
        if self._watts is None:
            return {"node_joules": self._counter.joules()}
        try:
            watts = self._watts()
        except (SensorError, OSError, ValueError) as error:
            if time.monotonic() - (self._answered or 0.0) > LONGEST_GAP:
                raise SensorError(f"the meter of the node stopped answering: {error}") from error
            return {"node_joules": self._joules}
        now = time.monotonic()
        if self._answered is not None:
            self._joules += watts * (now - self._answered)
        self._answered = now
        return {"node_joules": self._joules}


def _command_watts(command: str) -> float:
    """The first number that the command prints.

    `ipmitool dcmi power reading` prints the present power first.
    """
    try:
        done = subprocess.run(
            shlex.split(command), capture_output=True, text=True, timeout=ANSWER_SECONDS
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise SensorError(f"the power command {command!r} cannot be run ({error})") from error
    found = _NUMBER.search(done.stdout)
    if done.returncode != 0 or found is None:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise SensorError(
            f"the power command {command!r} printed no watts (exit code {done.returncode}: {said})"
        )
    return float(found[0])


def _hwmon_meter(hwmon: Path) -> Path | None:
    """The file of microwatts of ACPI's power meter: its mean, or else its momentary value."""
    for device in sorted(hwmon.glob("hwmon*")):
        try:
            if (device / "name").read_text().strip() != _HWMON_METER:
                continue
            for name in ("power1_average", "power1_input"):
                if (device / name).is_file() and int((device / name).read_text()) > 0:
                    return device / name
        except (OSError, ValueError):  # no access, or no reading
            continue
    return None
