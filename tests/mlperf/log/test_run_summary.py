"""The figures of a run, read from its log."""

import json
import math
import re
from pathlib import Path

import pytest

from cloudmask.errors import InputError
from cloudmask.mlperf.log.run_summary import read_summary, result_lines
from tests.mlperf.run_events import Event, complete_run
from tests.mlperf.timed_logs import write_log

TOKEN = ":::MLLOG "
START = "2026-11-22T21:15:02+0100"


def set_times(path: Path, milliseconds: dict[str, int]) -> None:
    """Rewrites the times of some keys."""
    lines = []
    for line in path.read_text().splitlines():
        record = json.loads(line.removeprefix(TOKEN))
        record["time_ms"] = milliseconds.get(record["key"], record["time_ms"])
        lines.append(TOKEN + json.dumps(record))
    path.write_text("\n".join(lines))


def test_summary_of_a_run(tmp_path: Path) -> None:
    path = complete_run("open").write(tmp_path / "result_0.txt")
    set_times(path, {"run_start": 1_000_250, "run_stop": 1_090_750})
    summary = read_summary(path)
    assert summary.time_to_solution == 90.5
    assert (summary.seed, summary.status, summary.epochs) == (1234, "success", 3)
    assert summary.samples == 3 * 15488
    assert summary.final_accuracy == 0.911
    assert summary.final_wbce == pytest.approx(0.1)
    assert (summary.target, summary.division) == (0.9, "open")
    assert (summary.dataset, summary.platform) == ("ds1", "DGX2_2x16")


def test_summary_tells_what_ran_and_how_fast(tmp_path: Path) -> None:
    run = complete_run("open")
    run.insert(run.at("store"), Event("event", "configuration", {"batch_size": 32}))
    run.event("power_reading").metadata["joules"] = 22_500.0
    summary = read_summary(write_log(tmp_path / "result_0.txt", run, 30))
    assert (summary.nodes, summary.accelerators_per_node) == (2, 16)
    assert summary.hyperparameters["global_batch_size"] == 64
    assert summary.hyperparameters["opt_base_learning_rate"] == 0.001
    assert summary.configuration == {"batch_size": 32}
    assert summary.result["inference_accuracy"] == 0.905
    assert (summary.energy, summary.power) == (22_500, 9000)
    assert summary.caches_cleared
    assert not summary.resumed
    # Events are written evenly over the run, so that an epoch takes one step.
    steps = run.at("run_stop") - run.at("run_start")
    assert summary.throughput == pytest.approx(15488 / (30 / steps), rel=1e-3)


def test_energy_that_was_not_measured_is_none(tmp_path: Path) -> None:
    run = complete_run("open")
    run.pop(run.at("power_reading"))
    summary = read_summary(run.write(tmp_path / "result_0.txt"))
    assert (summary.energy, summary.power) == (None, None)


def test_result_line_is_last_and_in_the_vendor_form(tmp_path: Path) -> None:
    path = complete_run("open").write(tmp_path / "result_0.txt")
    set_times(path, {"run_start": 0, "run_stop": 90_500})
    lines = result_lines(read_summary(path), 123, "user", START)
    assert lines == [
        "time to solution  90.500 s",
        "end to end        123 s",
        "epochs            3",
        "samples           46464",
        "final accuracy    0.9110 (target 0.9, ds1 data)",
        "final WBCE        0.1000",
        f"RESULT,CLOUDMASK,1234,123,user,{START}",
    ]


def test_an_aborted_run_has_no_time_to_solution(tmp_path: Path) -> None:
    run = complete_run("open", accuracies=())
    run.event("run_stop").metadata["status"] = "aborted"
    path = run.write(tmp_path / "result_0.txt")
    set_times(path, {"run_start": 0, "run_stop": 2_000})
    summary = read_summary(path)
    assert (summary.epochs, summary.samples) == (0, 0)
    assert math.isnan(summary.final_accuracy)
    lines = result_lines(summary, 3, "user", START)
    assert lines[0] == "time to solution  none: aborted after 2.000 s"
    assert lines[4] == "final accuracy    none (target 0.9, ds1 data)"


def test_a_run_that_broke_off_after_its_clock_is_aborted(tmp_path: Path) -> None:
    run = complete_run("open")
    assert read_summary(run.write(tmp_path / "whole.txt")).status == "success"
    run.append(type(run[0])("event", "fault", "rank 0 in inference was killed by SIGKILL"))
    assert read_summary(run.write(tmp_path / "broken.txt")).status == "aborted"


def test_a_loss_that_is_not_a_number_is_read_back(tmp_path: Path) -> None:
    run = complete_run("open")
    run.event("eval_wbce", 2).value = math.nan
    assert math.isnan(read_summary(run.write(tmp_path / "log.txt")).final_wbce)


@pytest.mark.parametrize("key", ["run_start", "seed", "train_samples", "dataset"])
def test_a_log_without_a_needed_event_is_named(tmp_path: Path, key: str) -> None:
    run = complete_run("open")
    del run[run.at(key)]
    path = run.write(tmp_path / "result_0.txt")
    with pytest.raises(InputError, match=f"result_0.txt: '{key}' occurs 0 times"):
        read_summary(path)


def test_two_runs_in_one_log_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    complete_run("open").write(path)
    complete_run("open").write(path)
    with pytest.raises(InputError, match="'run_start' occurs 2 times"):
        read_summary(path)


@pytest.mark.parametrize("line", ["{", "[]", '{"key": "seed"}'])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "log.txt"
    path.write_text(f"text\n{TOKEN}{line}\n")
    with pytest.raises(InputError, match="line 2 is not a valid MLLOG line"):
        read_summary(path)


def test_a_value_of_the_wrong_type_is_named(tmp_path: Path) -> None:
    run = complete_run("open")
    run.event("seed").value = [1]
    with pytest.raises(InputError, match=r"'seed' is \[1\], expected a number"):
        read_summary(run.write(tmp_path / "log.txt"))


NO_NUMBERS = ["NaN", "-Infinity", "1" + 400 * "0"]


@pytest.mark.parametrize("number", [*NO_NUMBERS, "1e300"])
def test_a_time_stamp_that_cannot_be_right_is_named(tmp_path: Path, number: str) -> None:
    path = complete_run("open").write(tmp_path / "log.txt")
    text = path.read_text()
    (stop,) = (line for line in text.splitlines() if '"run_stop"' in line)
    path.write_text(text.replace(stop, re.sub(r'"time_ms": \d+', f'"time_ms": {number}', stop)))
    with pytest.raises(InputError, match="is not a valid MLLOG line"):
        read_summary(path)


@pytest.mark.parametrize("number", NO_NUMBERS)
def test_a_seed_that_is_no_number_is_named(tmp_path: Path, number: str) -> None:
    path = complete_run("open").write(tmp_path / "log.txt")
    path.write_text(path.read_text().replace('"value": 1234,', f'"value": {number},'))
    with pytest.raises(InputError, match=r"'seed' is .*, expected a number"):
        read_summary(path)


def test_a_missing_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.txt: no such log file"):
        read_summary(tmp_path / "nothing.txt")
