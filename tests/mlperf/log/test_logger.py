"""The event log of a run, and the file that holds it."""

import json
import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from cloudmask.errors import InputError
from cloudmask.mlperf.log.lines import read_lines
from cloudmask.mlperf.log.logger import RunLog, reserve_result_path
from cloudmask.source import SOURCE_ROOT


def records(path: Path) -> list[dict]:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    token = ":::MLLOG "
    lines = path.read_text().splitlines()
    assert all(line.startswith(token) for line in lines)
    return [json.loads(line.removeprefix(token), parse_constant=refuse) for line in lines]


def test_events_have_their_type_value_and_metadata(tmp_path: Path) -> None:
    with RunLog(tmp_path / "log.txt") as log:
        log.start("epoch_start", epoch_num=1)
        log.end("run_stop", status="success")
        log.event("result", {"inference_accuracy": np.float32(0.5), "scenes": np.arange(2)})
    start, end, event = records(tmp_path / "log.txt")
    assert (start["event_type"], start["key"], start["value"]) == (
        "INTERVAL_START",
        "epoch_start",
        None,
    )
    assert start["metadata"]["epoch_num"] == 1
    assert (end["event_type"], end["metadata"]["status"]) == ("INTERVAL_END", "success")
    assert event["event_type"] == "POINT_IN_TIME"
    assert event["value"] == {"inference_accuracy": 0.5, "scenes": [0, 1]}


def test_each_line_is_on_disk_when_the_call_returns(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.txt")
    for count in (1, 2, 3):
        log.event("seed", count)
        assert len(records(tmp_path / "log.txt")) == count
    log.close()


def test_call_site_is_the_callers_line_relative_to_the_source_root(tmp_path: Path) -> None:
    here = Path(__file__).relative_to(SOURCE_ROOT)
    line = sys._getframe().f_lineno
    with RunLog(tmp_path / "log.txt") as log:
        log.start("init_start")
        log.end("init_stop")
        log.event("seed", 1)
    for offset, record in enumerate(records(tmp_path / "log.txt"), 2):
        assert record["metadata"] == {"file": str(here), "lineno": line + offset}


def test_call_site_elsewhere_is_logged_without_its_folder(tmp_path: Path) -> None:
    script = tmp_path / "a (strange) folder+" / "script.py"
    script.parent.mkdir()
    script.write_text(
        "from pathlib import Path\n"
        "from cloudmask.mlperf.log.logger import RunLog\n"
        "with RunLog(Path(__file__).with_name('log.txt')) as log:\n"
        "    log.event('seed', 1)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCE_ROOT)}
    subprocess.run([sys.executable, script], check=True, env=environment)
    (record,) = records(script.with_name("log.txt"))
    assert record["metadata"] == {"file": "script.py", "lineno": 4}


@pytest.mark.parametrize(
    ("number", "logged"), [(math.nan, "nan"), (math.inf, "inf"), (-np.float32("inf"), "-inf")]
)
def test_non_finite_numbers_stay_valid_json(tmp_path: Path, number: float, logged: str) -> None:
    with RunLog(tmp_path / "log.txt") as log:
        log.event("result", {"a": [number]}, loss=number)
    (record,) = records(tmp_path / "log.txt")
    assert record["value"] == {"a": [logged]}
    assert record["metadata"]["loss"] == logged


def test_a_silent_log_writes_nothing_but_refuses_the_same_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with RunLog(None) as log:
        log.start("run_start")
        with pytest.raises(TypeError, match=r"'seed'.*set"):
            log.event("seed", {1})
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_nothing_goes_to_the_screen(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with RunLog(tmp_path / "log.txt") as log:
        log.event("seed", 1)
    assert capfd.readouterr() == ("", "")


def test_two_logs_do_not_mix(tmp_path: Path) -> None:
    with RunLog(tmp_path / "a.txt") as first, RunLog(tmp_path / "b.txt") as second:
        first.event("seed", 1)
        second.event("seed", 2)
    assert [r["value"] for r in records(tmp_path / "a.txt")] == [1]
    assert [r["value"] for r in records(tmp_path / "b.txt")] == [2]


def test_an_existing_log_is_continued_not_truncated(tmp_path: Path) -> None:
    for seed in (1, 2):
        with RunLog(tmp_path / "log.txt") as log:
            log.event("seed", seed)
    assert [record["value"] for record in records(tmp_path / "log.txt")] == [1, 2]


def test_events_after_close_are_an_error(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.txt")
    log.close()
    log.close()
    with pytest.raises(ValueError, match="'seed'"):
        log.event("seed", 1)


def test_a_full_disk_is_not_ignored() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    log = RunLog(Path("/dev/full"))
    with pytest.raises(OSError, match="No space"):
        log.event("seed", 1)


def test_a_log_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing"):
        RunLog(tmp_path / "missing" / "log.txt")


def test_results_are_numbered_after_the_highest(tmp_path: Path) -> None:
    logdir = tmp_path / "logs" / "CPU"
    assert reserve_result_path(logdir) == logdir / "result_0.txt"
    assert reserve_result_path(logdir) == logdir / "result_1.txt"
    (logdir / "result_9.txt").write_text("kept")
    (logdir / "result_50.txt.bak").touch()
    (logdir / "result_x.txt").touch()
    assert reserve_result_path(logdir) == logdir / "result_10.txt"
    assert (logdir / "result_9.txt").read_text() == "kept"


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "result_0.txt").symlink_to(tmp_path / "elsewhere")
    assert reserve_result_path(tmp_path).name == "result_1.txt"
    assert not (tmp_path / "elsewhere").exists()


def test_runs_that_start_together_get_different_numbers(tmp_path: Path) -> None:
    paths: list[Path] = []
    threads = [
        threading.Thread(target=lambda: paths.append(reserve_result_path(tmp_path)))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(p.name for p in paths) == sorted(f"result_{n}.txt" for n in range(16))


@pytest.mark.parametrize("below", ["", "folder"])
def test_a_file_in_the_place_of_logdir_is_named(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file.*LOGDIR is not a folder"):
        reserve_result_path(tmp_path / "file" / below)


def test_an_unwritable_logdir_is_named() -> None:
    # chmod does not stop root; nobody can create a file in /proc.
    if not Path("/proc/self").exists():
        pytest.skip("no /proc here")
    with pytest.raises(InputError, match=r"/proc: no log can be written there"):
        reserve_result_path(Path("/proc"))


def test_who_ends_the_log_of_a_lost_run_writes_as_that_run(tmp_path):
    path = tmp_path / "result_0.txt"
    with RunLog(path) as log:
        log.start("run_start")
    with RunLog(path) as supervisor:
        supervisor.end("run_stop", status="aborted")
    with RunLog(tmp_path / "result_1.txt") as another:
        another.start("run_start")
    first, second = (line.record["namespace"] for line in read_lines(path))
    (other,) = (line.record["namespace"] for line in read_lines(another.path))
    assert first == second != other
