"""Load, memory and traffic of the node, in their units."""

from types import SimpleNamespace

import psutil

from cloudmask.machine.sensors.node_load import NodeLoad


def test_memory_is_in_gib_and_traffic_in_mib_without_the_loopback(monkeypatch):
    counters = {
        name: SimpleNamespace(bytes_recv=received * 2**20, bytes_sent=sent * 2**20)
        for name, received, sent in (("lo", 1000, 1000), ("eth0", 3, 1), ("ib0", 5, 2))
    }
    loads = iter([99.0, 12.5])
    monkeypatch.setattr(psutil, "net_io_counters", lambda pernic: counters)
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: next(loads))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(used=3 * 2**29))
    assert NodeLoad().read() == {
        "cpu_percent": 12.5,  # the load before the first reading is discarded
        "memory_gib": 1.5,
        "received_mib": 8,
        "sent_mib": 3,
    }
