"""What the samples in a file come to."""

import pytest

from cloudmask.machine.sensors.usage import Usage, read_usage

SAMPLES = """\
time_ms,cpu_percent,memory_gib,received_mib,sent_mib,package-0_joules,dram-0_joules,gpu-0_percent,\
gpu-0_memory_gib,gpu-0_joules,gpu-1_percent,gpu-1_memory_gib,gpu-1_joules
1000,7,2,100,10,40,5,0,1,100,0,1,50
2000,50,5,103,10,120,15,90,30,400,80,20,300
3500,80,4,109,11,240,30,70,10,800,60,21,650
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "utilisation_0.csv"
    path.write_text(SAMPLES)
    return path


def test_energy_is_the_last_count_less_the_first(file):
    usage = read_usage(file)
    assert (usage.seconds, usage.samples) == (2.5, 3)
    assert usage.joules == {"package-0": 200, "dram-0": 25, "gpu-0": 700, "gpu-1": 600}
    assert usage.by_kind() == {"cpu": 200, "memory": 25, "gpu": 1300}


def test_loads_are_means_without_the_time_before_the_first_sample(file):
    assert read_usage(file).figures == {
        "cpu_percent": 65,
        "memory_gib": 5,
        "received_mib": 9,
        "sent_mib": 1,
        "gpu_percent": 75,
        "gpu_memory_gib": 30,
    }


def test_a_row_that_was_cut_and_what_follows_are_left_out(file):
    file.write_text(SAMPLES + "4500,90,4,")
    assert read_usage(file).samples == 3


def test_one_sample_tells_no_load_and_no_energy(file):
    file.write_text("".join(SAMPLES.splitlines(keepends=True)[:2]))
    usage = read_usage(file)
    assert (usage.seconds, usage.samples) == (0, 1)
    assert set(usage.joules.values()) == {0}
    assert usage.figures == {"memory_gib": 2, "received_mib": 0, "sent_mib": 0}


@pytest.mark.parametrize("content", ["", "time_ms,cpu_percent\n", "time_ms,cpu_percent\n12,"])
def test_a_file_without_a_whole_row_says_nothing(file, content):
    file.write_text(content)
    assert read_usage(file) == Usage()


def test_no_file_says_nothing(tmp_path):
    assert read_usage(tmp_path / "absent.csv") == Usage()
