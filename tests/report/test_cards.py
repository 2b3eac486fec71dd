"""The cards of the page: what a reader asks first of each system."""

import json
import re

import pytest

from cloudmask.report.cards import cards_section
from cloudmask.report.runs import read_folders
from tests.mlperf.run_events import Event
from tests.mlperf.timed_logs import set_value, write_runs
from tests.report.run_logs import write_log

MACHINE = {
    **{"host_processors_per_node": "2", "host_processor_model_name": "Some processor"},
    **{"host_processor_core_count": "24", "host_memory_capacity": "1.5 TiB"},
    **{"accelerator_model_name": "Some GPU", "accelerator_memory_capacity": "32 GiB"},
    **{"framework": "PyTorch 2.13.0", "other_software_stack": "CUDA 12.6, Python 3.12.1"},
}


def described(run):
    run.insert(run.at("cache_clear"), Event("event", "system_description", MACHINE))


def cards_of(*folders):
    (block,) = cards_section(read_folders(folders)).blocks
    return [(card.title, card.headline, dict(card.facts)) for card in block.cards]


def test_card_tells_score_hardware_data_dates_and_versions(tmp_path):
    write_runs(tmp_path, [100, 103, 98, 101, 99], described)
    ((title, headline, facts),) = cards_of(tmp_path)
    assert (title, headline) == ("DGX2_2x16", "Score 100.0 s")
    assert facts == {
        "95 % interval": "96.8 to 103.3 s",
        "counts": "yes, 5 of 5 runs",
        "target": "validation accuracy 0.9",
        "hardware": "2 nodes, 16 accelerators on each",
        "processors": "2 x Some processor, 24 cores each, 1.5 TiB of memory",
        "accelerators": "Some GPU, 32 GiB",
        "data": "ds1, 15488 + 3840 patches",
        "division": "open",
        "recipe": "reference, global batch 64",
        "run": "2026-09-21 14:13 UTC",
        "software": "CloudMask 0.1.0, PyTorch 2.13.0, CUDA 12.6, Python 3.12.1",
        "commit": "0123456789ab",
    }


def test_card_of_few_runs_has_their_mean_and_says_what_a_score_takes(tmp_path):
    write_runs(tmp_path, [100, 102])
    ((_, headline, facts),) = cards_of(tmp_path)
    assert headline == "Mean 101.0 s, no score"
    assert facts["counts"] == "no, 2 of 2 runs: a score takes 5 runs"
    assert "95 % interval" not in facts
    assert facts["processors"] == facts["accelerators"] == "not logged"


def test_runs_that_do_not_count_say_why_once(tmp_path):
    for number in range(2):
        write_log(tmp_path / f"result_{number}.txt")
    ((_, headline, facts),) = cards_of(tmp_path)
    assert headline == "No score"
    assert facts["counts"].startswith("no, 0 of 2 runs: a score takes 5 runs; the commit of ")
    assert facts["counts"].count("the commit of its source is not known") == 1
    assert facts["data"] == "synthetic, 100 + 0 patches; says nothing about DS1"
    assert facts["recipe"] == "not logged, global batch not logged"
    assert facts["software"] == "not logged"
    assert "accelerators" not in facts


def test_each_system_and_each_setting_has_a_card(tmp_path):
    write_runs(tmp_path / "A", [10])
    write_runs(tmp_path / "B", [10], set_value("submission_platform", "Other"))
    write_log(tmp_path / "B" / "result_1.txt", platform="Other")
    assert [title for title, *_ in cards_of(tmp_path)] == ["DGX2_2x16", "Other", "Other"]


def test_folder_without_a_whole_run_has_a_card_that_says_so(tmp_path):
    write_log(tmp_path / "result_0.txt", before="run_start")
    ((_, headline, facts),) = cards_of(tmp_path)
    assert (headline, facts) == ("No score", {"runs": "none of 1 log is that of a whole run"})


def test_runs_of_several_machines_and_days_are_all_named(tmp_path):
    write_runs(tmp_path, [100, 102], described, described)
    log = tmp_path / "result_1.txt"
    log.write_text(log.read_text().replace('"time_ms": 17', '"time_ms": 18'))
    for path in tmp_path.glob("result_*.txt"):  # of two nodes that differ
        path.write_text(path.read_text().replace("Some GPU", "Other GPU", 1))
    ((*_, facts),) = cards_of(tmp_path)
    assert facts["accelerators"] == "Other GPU, 32 GiB; Some GPU, 32 GiB"
    assert facts["run"] == "2026-09-21 14:13 to 2029-11-22 00:00 UTC"


def test_runs_of_one_day_have_its_date_once(tmp_path):
    write_runs(tmp_path, [100, 102])
    log = tmp_path / "result_1.txt"
    log.write_text(log.read_text().replace('"time_ms": 17900000', '"time_ms": 17900072'))
    ((*_, facts),) = cards_of(tmp_path)
    assert facts["run"] == "2026-09-21 14:13 to 16:13 UTC"


@pytest.mark.parametrize("machine", ["text", 3, {"host_processor_model_name": ["a"]}])
def test_description_that_cannot_be_right_does_no_harm(tmp_path, machine):
    write_log(tmp_path / "result_0.txt")
    log = tmp_path / "result_0.txt"
    event = {"time_ms": 1, "key": "system_description", "value": machine, "metadata": None}
    log.write_text(log.read_text() + f":::MLLOG {json.dumps(event)}\n")
    ((*_, facts),) = cards_of(tmp_path)
    assert facts["processors"]


def test_start_that_no_calendar_has_is_left_out(tmp_path):
    log = write_log(tmp_path / "result_0.txt")
    start = r'"time_ms": 17(\d+, "key": "run_start")'
    log.write_text(re.sub(start, r'"time_ms": -99\1', log.read_text()))
    ((*_, facts),) = cards_of(tmp_path)
    assert "run" not in facts
