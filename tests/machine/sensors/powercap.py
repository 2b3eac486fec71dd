"""Energy counters in files, as the kernel shows them."""

from __future__ import annotations

from pathlib import Path


class Powercap:
    """Two processors with memory of their own, whose counters a test turns."""

    def __init__(self, folder: Path, counter_range: int = 1_000_000_000) -> None:
        self.folder = folder / "powercap"
        self.devices = folder  # what the kernel shows as /sys/class
        for package in range(2):
            self._zone(f"intel-rapl:{package}", f"package-{package}", counter_range)
            self._zone(f"intel-rapl:{package}:0", "core", counter_range)
            self._zone(f"intel-rapl:{package}:1", "dram", counter_range)
        (self.folder / "intel-rapl").mkdir()  # the control type, which counts nothing

    def add_platform(self) -> None:
        """Add the counter of the whole node, as intel-rapl:2."""
        self._zone("intel-rapl:2", "psys", 1_000_000_000)

    def _zone(self, zone: str, name: str, counter_range: int) -> None:
        (self.folder / zone).mkdir(parents=True)
        (self.folder / zone / "name").write_text(f"{name}\n")
        (self.folder / zone / "max_energy_range_uj").write_text(f"{counter_range}\n")
        self.set(zone, 0)

    def set(self, zone: str, microjoules: int) -> None:
        """Set a counter in one step, as the kernel does."""
        new = self.folder / "new"
        new.write_text(f"{microjoules}\n")
        new.replace(self.folder / zone / "energy_uj")
