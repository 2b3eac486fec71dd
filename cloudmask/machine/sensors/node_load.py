"""Load of the processors, memory in use and network traffic of this node, from the kernel."""

from __future__ import annotations

import psutil


class Host:
    """The node as a whole, other users included; the loopback does not count as network."""

    def __init__(self) -> None:
        """Start to count; the first reading covers the time from here."""
        psutil.cpu_percent(None)

    def read(self) -> dict[str, float]:
        """Load since the last reading in percent of all cores, GiB in use, MiB since booting."""
        interfaces = psutil.net_io_counters(pernic=True)
        traffic = [counters for name, counters in interfaces.items() if name != "lo"]
        return {
            "cpu_percent": psutil.cpu_percent(None),
            "memory_gib": psutil.virtual_memory().used / 2**30,
            "received_mib": sum(counters.bytes_recv for counters in traffic) / 2**20,
            "sent_mib": sum(counters.bytes_sent for counters in traffic) / 2**20,
        }
