"""Energy counters of processors, read from files such as the kernel's."""

import pytest

from cloudmask.machine.sensors.rapl import RaplCounters
from cloudmask.machine.sensors.sensor_error import SensorError


def test_energy_counts_from_the_first_reading_for_packages_and_their_memory(powercap):
    powercap.set("intel-rapl:0", 7_000_000)
    rapl = RaplCounters(powercap.folder)
    names = {"package-0_joules", "package-1_joules", "dram-0_joules", "dram-1_joules"}
    assert rapl.read() == dict.fromkeys(names, 0)
    powercap.set("intel-rapl:0", 19_500_000)
    powercap.set("intel-rapl:1:1", 250_000)
    powercap.set("intel-rapl:0:0", 5_000_000)  # cores are part of their package
    readings = {**dict.fromkeys(names, 0), "package-0_joules": 12.5, "dram-1_joules": 0.25}
    assert rapl.read() == readings
    assert rapl.read() == readings  # counters that did not move have not wrapped around


def test_a_counter_that_wraps_around_goes_on_counting(powercap):
    powercap.set("intel-rapl:0", 999_000_000)
    rapl = RaplCounters(powercap.folder)
    rapl.read()
    for microjoules, joules in ((500_000, 1.5), (900_000_000, 901), (100_000_000, 1101)):
        powercap.set("intel-rapl:0", microjoules)
        assert rapl.read()["package-0_joules"] == joules


def test_counters_that_cannot_be_read_are_unavailable_with_a_reason(powercap):
    counter = powercap.folder / "intel-rapl:1" / "energy_uj"
    counter.unlink()
    counter.mkdir()  # what root too cannot read
    with pytest.raises(SensorError, match="cannot be read"):
        RaplCounters(powercap.folder)


def test_missing_counters_are_unavailable_with_a_reason(tmp_path):
    with pytest.raises(SensorError, match="nowhere is missing"):
        RaplCounters(tmp_path / "nowhere")
    with pytest.raises(SensorError, match="none in"):
        RaplCounters(tmp_path)
