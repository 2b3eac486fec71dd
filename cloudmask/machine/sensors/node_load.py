"""CPU load, memory in use and network traffic of the node, from the kernel."""

import psutil


class NodeLoad:
    """The whole node, including other users; the loopback interface is not network traffic."""

    def __init__(self) -> None:
        """Start counting: the first reading covers the time from here."""
        psutil.cpu_percent(None)

    def read(self) -> dict[str, float]:
        """Mean load since the last reading in percent of all cores; GiB in use; MiB since boot."""
        interfaces = psutil.net_io_counters(pernic=True)
        traffic = [counters for name, counters in interfaces.items() if name != "lo"]
        return {
            "cpu_percent": psutil.cpu_percent(None),
            "memory_gib": psutil.virtual_memory().used / 2**30,
            "received_mib": sum(counters.bytes_recv for counters in traffic) / 2**20,
            "sent_mib": sum(counters.bytes_sent for counters in traffic) / 2**20,
        }
