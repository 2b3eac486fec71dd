"""Energy of processors and memory, from the RAPL counters of Linux (powercap).

https://docs.kernel.org/power/powercap/powercap.html: one folder per zone, with its `name`, its
counter `energy_uj` in microjoules, and `max_energy_range_uj`, where the counter wraps around to 0.
"""

from pathlib import Path

from cloudmask.machine.sensors.sensor_error import SensorError


class RaplCounters:
    """The counters of all packages and, where it has its own, of the memory of a package.

    Zones of parts of a package (core, uncore) are included in the package's counter.

    Raises:
        SensorError: there are no counters, or they cannot be read.
    """

    def __init__(self, powercap: Path) -> None:
        """Open the counters; energy counts from the first reading."""
        if not powercap.is_dir():
            raise SensorError(f"no energy counters of the processors ({powercap} is missing)")
        self._counters: dict[str, Counter] = {}
        try:
            for zone in sorted(powercap.glob("intel-rapl:*")):
                if device := _device(zone):
                    self._counters[device] = Counter(zone)
        except OSError as error:
            raise SensorError(
                f"energy counters of the processors cannot be read ({error.strerror})"
            ) from error
        if not self._counters:
            raise SensorError(f"no energy counters of the processors (none in {powercap})")

    def read(self) -> dict[str, float]:
        """Joules of each device since the first reading, by column: package-0_joules, ...

        Must be called before a counter wraps around twice: with 500 W, every few minutes.
        """
        return {f"{device}_joules": counter.joules() for device, counter in self._counters.items()}


class Counter:
    """A counter that wraps around, as a total that does not."""

    def __init__(self, zone: Path) -> None:
        """Open the counter of a zone."""
        self._file = zone / "energy_uj"
        self._range = int((zone / "max_energy_range_uj").read_text())
        self._last = int(self._file.read_text())
        self._first: int | None = None
        self._total = 0

    def joules(self) -> float:
        """Joules since the first reading."""
        now = int(self._file.read_text())
        self._total += now - self._last if now >= self._last else now - self._last + self._range
        self._last = now
        if self._first is None:
            self._first = self._total
        return (self._total - self._first) / 1e6


def platform_counter(powercap: Path) -> Counter:
    """The counter of the whole platform (psys).

    Raises:
        SensorError: there is none, or it cannot be read.
    """
    try:
        for zone in sorted(powercap.glob("intel-rapl:*")):
            if (zone / "name").read_text().strip() == "psys":
                return Counter(zone)
    except OSError as error:
        raise SensorError(f"the counter psys cannot be read ({error.strerror})") from error
    raise SensorError("no meter of the whole node (power command, hwmon or psys)")


def _device(zone: Path) -> str | None:
    """The device of a zone: package-0, dram-0 for the memory of that package, else None."""
    name = (zone / "name").read_text().strip()
    if name.startswith("package-"):
        return name
    if name == "dram":
        package = (zone.with_name(zone.name.rpartition(":")[0]) / "name").read_text().strip()
        return package.replace("package", "dram")
    return None
