"""Power logs of a package: from samples of the whole node, as the official tools read them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from mlperf_logging.compliance_checker.mlp_parser import parse_file
from mlperf_logging.package_checker.power_checker import PowerChecker
from mlperf_logging.result_summarizer.result_summarizer import _compute_total_power

from cloudmask.mlperf.log.run_summary import read_summary
from cloudmask.mlperf.package.power import write_power
from cloudmask.mlperf.package.request import System, group_by_system
from cloudmask.mlperf.score.runs import read_runs
from tests.mlperf.package.submission_files import SubmissionFiles
from tests.mlperf.timed_logs import TOKEN

WATTS = 400
COLUMNS = "time_ms,cpu_percent,memory_gib,received_mib,sent_mib,package-0_joules"
METER = "ipmitool dcmi power reading"


def add_samples(
    log: Path, node: int, seconds: float = 0, period: float = 1.0, **more: float
) -> Path:
    """Samples beside a run's log, over its time or `seconds`; the node draws WATTS."""
    summary = read_summary(log)
    count = 1 + int((seconds or summary.time_to_solution + 2) / period)
    watts = more.get("watts", WATTS)
    suffix = f"_node{node}.csv" if node else ".csv"
    path = log.with_name(log.stem.replace("result", "utilisation") + suffix)
    rows = [
        f"{summary.started - 1000 + 1000 * period * x:.0f},50,4,0,0,{100 * period * x},"
        f"{watts * period * x}"
        for x in range(count)
    ]
    path.write_text("\n".join([f"{COLUMNS},node_joules", *rows]) + "\n")
    return path


def add_meter(log: Path) -> None:
    """The event of the sensors of both nodes."""
    for node in (0, 1):
        value = {"measured": ["node"], "absent": [], "node_meter": [METER]}
        record = {"namespace": "", "time_ms": 1_790_000_000_000, "event_type": "POINT_IN_TIME"}
        record |= {"key": "power_sensors", "value": value}
        record["metadata"] = {"file": "power_sampling.py", "lineno": 1, "node": node}
        with log.open("a") as file:
            file.write(f"{TOKEN}{json.dumps(record)}\n")


@pytest.fixture
def measured(submission: SubmissionFiles) -> System:
    """A system of two nodes, five runs, and samples of both nodes."""
    folder = submission.system("Big")
    for log in sorted(folder.glob("result_*.txt")):
        add_meter(log)
        for node in (0, 1):
            add_samples(log, node)
    return system_of(submission, folder)


def system_of(submission: SubmissionFiles, folder: Path) -> System:
    """The system of the runs in a folder."""
    logs = sorted(folder.glob("result_*.txt"))
    (system,) = group_by_system(submission.request(folder), read_runs(logs))
    return system


def test_every_node_of_every_run_has_a_power_log_of_what_the_official_summary_computes(
    measured: System, tmp_path: Path
) -> None:
    results = tmp_path / "Big" / "strong" / "cloudmask"
    assert write_power(measured, results) == ""
    logs = []
    for number, run in enumerate(measured.runs):
        logs.append(str(results / f"result_{number}.txt"))
        shutil.copyfile(run.path, logs[-1])
        folder = results / "power" / f"result_{number}"
        assert sorted(path.name for path in folder.iterdir()) == ["node_0.txt", "node_1.txt"]
    assert PowerChecker("3.0.0").check_power(str(results / "power"), logs) == (True, set())
    seconds = measured.runs[0].summary.time_to_solution
    energy = _compute_total_power(str(results), logs[0], 1000 * seconds, "3.0.0")
    assert energy == pytest.approx(2 * WATTS * seconds, rel=1e-6)


def test_a_power_log_has_a_reading_a_second_and_names_its_meter(
    measured: System, tmp_path: Path
) -> None:
    write_power(measured, tmp_path)
    lines, errors = parse_file(tmp_path / "power" / "result_0" / "node_1.txt", ruleset="3.0.0")
    assert errors == []
    keys = [line.key for line in lines]
    assert keys[:2] == ["power_measurement_start", "conversion_eff"]
    assert keys[-1] == "power_measurement_stop"
    assert set(keys[2:-1]) == {"power_reading"}
    assert len(keys) - 3 == int(measured.runs[0].summary.time_to_solution + 2)
    assert lines[1].value["metadata"]["meter"] == METER
    assert lines[2].value["metadata"]["host"] == "node_1"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ({"seconds": 40}, "41 samples, and the rules ask for 60"),
        ({"seconds": 80}, "the samples end after 80 s, before the run does"),
        ({"period": 1.5}, "a sample every 1.5 s, and not every second"),
        ({"watts": 50}, "counted less than its processors and GPUs"),
        (None, "there are no samples of this node"),
    ],
)
def test_measurements_that_the_rules_do_not_take_are_left_out_with_the_reason(
    measured: System, tmp_path: Path, spoil: dict[str, float] | None, reason: str
) -> None:
    log = measured.runs[3].path
    path = log.with_name("utilisation_3_node1.csv")
    if spoil is None:
        path.unlink()
    else:
        add_samples(log, 1, **spoil)
    said = write_power(measured, tmp_path / "results")
    assert said.startswith(f"{path}: ")
    assert reason in said
    assert not (tmp_path / "results").exists()


def test_without_a_meter_of_the_node_there_are_no_power_logs(
    submission: SubmissionFiles, tmp_path: Path
) -> None:
    system = system_of(submission, submission.system("Big"))
    assert write_power(system, tmp_path / "results").startswith("the whole node was not measured")
