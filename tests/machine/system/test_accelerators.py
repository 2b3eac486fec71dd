"""Accelerators as their driver tells, and without one."""

from __future__ import annotations

import json
import subprocess
import sys

from cloudmask.machine.system.accelerators import FIELDS, describe_accelerators
from tests.paths import ROOT

ASK = "from cloudmask.machine.system.accelerators import *; import json"
DESCRIBE = f"{ASK}; print(json.dumps([describe_accelerators(), driver_version()]))"


def test_gpus_are_described_by_their_driver(nvidia_driver):
    done = subprocess.run(
        [sys.executable, "-c", DESCRIBE], cwd=ROOT, capture_output=True, text=True, check=True
    )
    fields, version = json.loads(done.stdout)
    assert version == "560.35.03"
    assert fields == {
        "accelerators_per_node": "2",
        "accelerator_model_name": "Tesla V100-SXM3-32GB",
        "accelerator_host_interconnect": "PCIe 3.0 x16",
        "accelerator_frequency": "1597 MHz maximum",
        "accelerator_on-chip_memories": "",
        "accelerator_memory_configuration": "",  # this driver does not support the question
        "accelerator_memory_capacity": "16 GiB",
        "accelerator_interconnect": "3 x NVLink",
        "accelerator_interconnect_topology": "NVSwitch",
    }


def test_an_accelerator_without_a_driver_is_unknown_not_none(tmp_path, add, monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    add({"sys/bus/pci/devices/0000:00:03.0/class": "0x020000"})
    assert describe_accelerators(tmp_path)["accelerators_per_node"] == "0"
    add({"sys/bus/pci/devices/0000:17:00.0/class": "0x030200"})
    assert describe_accelerators(tmp_path) == dict.fromkeys(FIELDS, "")
