"""What the official engine accepts and refuses, with the CloudMask rules in place."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloudmask.errors import InputError
from cloudmask.mlperf import check as check_module
from cloudmask.mlperf.check import EXIT_REFUSED, RULES, check, check_files

Spoil = Callable[[Any], object]

# Keys that one line of the log must have, whatever the division.
REQUIRED = [
    "submission_benchmark",
    "submission_org",
    "submission_platform",
    "submission_division",
    "submission_status",
    "submission_version",
    "submission_github_commit_version",
    "number_of_nodes",
    "accelerators_per_node",
    "cache_clear",
    "init_start",
    "init_stop",
    "run_start",
    "run_stop",
    "seed",
    "global_batch_size",
    "gradient_accumulation_steps",
    "max_epochs",
    "patch_size",
    "target_accuracy",
    "positive_weight",
    "dataset",
    "recipe",
    "opt_name",
    "opt_base_learning_rate",
    "opt_learning_rate_warmup_epochs",
    "opt_learning_rate_schedule",
    "opt_weight_decay",
    "precision",
    "store",
    "train_samples",
    "eval_samples",
    "result",
]


def value(key: str, new: Any, occurrence: int = 0) -> Spoil:
    return lambda run: setattr(run.event(key, occurrence), "value", new)


def metadata(key: str, occurrence: int = 0, **new: Any) -> Spoil:
    return lambda run: run.event(key, occurrence).metadata.update(new)


def repeat(key: str) -> Spoil:
    return lambda run: run.insert(run.at(key), run.event(key))


def drop(key: str) -> Spoil:
    return lambda run: run.pop(run.at(key))


def move(key: str, before: str) -> Spoil:
    return lambda run: run.move(key, before)


def all_values(key: str, new: Any) -> Spoil:
    return lambda run: [setattr(event, "value", new) for event in run if event.key == key]


def append(key: str, occurrence: int = 0) -> Spoil:
    return lambda run: run.append(run.event(key, occurrence))


def evaluate_twice(run: Any) -> None:
    evaluation = run[run.at("eval_start") : run.at("eval_stop") + 1]
    run[run.at("eval_start") : run.at("eval_start")] = evaluation


# What is spoiled -> the key that must be named, and how.
BREAKAGES: list[tuple[str, str, Spoil]] = [
    ("run_stop", "status is aborted", metadata("run_stop", status="aborted")),
    ("run_stop", "twice", repeat("run_stop")),
    ("run_stop", "inside an epoch", lambda run: run.pop(run.at("epoch_stop", 2))),
    ("run_start", "twice", repeat("run_start")),
    ("run_start", "before init_stop", move("run_start", "init_stop")),
    ("init_stop", "before init_start", move("init_stop", "init_start")),
    ("cache_clear", "after run_start", move("cache_clear", "train_samples")),
    ("cache_clear", "not a truth value", value("cache_clear", "yes")),
    ("staging_start", "outside the run", move("staging_start", "run_start")),
    ("epoch_start", "staging not ended", drop("staging_stop")),
    ("staging_stop", "staging not started", drop("staging_start")),
    ("epoch_start", "out of order", metadata("epoch_start", 1, epoch_num=3)),
    ("epoch_start", "counted from 0", metadata("epoch_start", epoch_num=0)),
    ("epoch_start", "no number", lambda run: run.event("epoch_start").metadata.clear()),
    ("epoch_start", "after run_stop", append("epoch_start")),
    ("eval_start", "before its epoch ended", move("eval_start", "epoch_stop")),
    ("eval_start", "of another epoch", metadata("eval_start", 2, epoch_num=2)),
    ("eval_accuracy", "below the target", all_values("eval_accuracy", 0.899)),
    ("eval_accuracy", "above 1", value("eval_accuracy", 1.2)),
    ("eval_accuracy", "not a number", all_values("eval_accuracy", float("nan"))),
    ("eval_accuracy", "of another epoch", metadata("eval_accuracy", 1, epoch_num=1)),
    ("eval_wbce", "not a number", value("eval_wbce", float("nan"), 2)),
    ("result", "before run_stop", move("result", "run_stop")),
    ("result", "twice", repeat("result")),
    ("result", "not a dictionary", value("result", 0.9)),
    ("result", "no inference accuracy", value("result", {"accuracy": 0.9})),
    ("result", "an interval", lambda run: setattr(run.event("result"), "method", "end")),
    ("resumed", "present", lambda run: run.insert(20, type(run[0])("event", "resumed", True))),
    ("fault", "at the end", lambda run: run.append(type(run[0])("event", "fault", "rank 1"))),
    ("seed", "0", value("seed", 0)),
    ("patch_size", "128", value("patch_size", 128)),
    ("target_accuracy", "lowered", value("target_accuracy", 0.8)),
    ("dataset", "unknown", value("dataset", "mine")),
    ("submission_github_commit_version", "empty", value("submission_github_commit_version", "")),
    ("submission_status", "unknown", value("submission_status", "SciML")),
    ("submission_division", "unknown", value("submission_division", "SciML")),
    ("submission_benchmark", "another", value("submission_benchmark", "deepcam")),
    ("init_start", "after init_stop", move("init_stop", "init_start")),
    ("init_start", "after run_start", append("init_start")),
    ("init_stop", "twice", repeat("init_stop")),
    ("init_stop", "after run_start", append("init_stop")),
    ("staging_start", "twice", repeat("staging_start")),
    ("staging_start", "after an epoch", move("staging_start", "eval_start")),
    ("staging_stop", "after an epoch", move("staging_stop", "eval_start")),
    ("staging_stop", "after run_stop", append("staging_stop")),
    ("run_stop", "before staging ended", drop("staging_stop")),
    ("epoch_start", "before run_start", move("epoch_start", "run_start")),
    ("epoch_start", "before the last one ended", drop("epoch_stop")),
    ("epoch_start", "before its evaluation ended", drop("eval_stop")),
    ("epoch_stop", "of another epoch", metadata("epoch_stop", epoch_num=2)),
    ("epoch_stop", "after run_stop", append("epoch_stop")),
    ("eval_start", "before any epoch", move("eval_start", "epoch_start")),
    ("eval_start", "after run_stop", append("eval_start")),
    ("eval_start", "twice for one epoch", evaluate_twice),
    ("eval_start", "of a later epoch", metadata("eval_start", epoch_num=2)),
    ("eval_stop", "not started", drop("eval_start")),
    ("eval_stop", "of another epoch", metadata("eval_stop", epoch_num=2)),
    ("eval_stop", "after run_stop", append("eval_stop")),
    ("eval_accuracy", "before its evaluation", move("eval_accuracy", "epoch_start")),
    ("eval_accuracy", "after run_stop", append("eval_accuracy", 2)),
    ("eval_wbce", "of another epoch", metadata("eval_wbce", epoch_num=2)),
    ("eval_wbce", "after run_stop", append("eval_wbce", 2)),
    ("run_stop", "before run_start", move("run_stop", "run_start")),
    ("run_stop", "inside an evaluation", lambda run: run.pop(run.at("eval_stop", 2))),
]

# One value each that the open division does not accept.
BAD_VALUES: dict[str, Any] = {
    "submission_version": " ",
    "number_of_nodes": 0,
    "accelerators_per_node": -1,
    "train_samples": 0,
    "eval_samples": 1.5,
    "global_batch_size": 0,
    "gradient_accumulation_steps": 0,
    "max_epochs": "ten",
    "positive_weight": 0,
    "recipe": "",
    "opt_name": None,
    "opt_adam_beta_1": 1.0,
    "opt_adam_beta_2": -0.1,
    "opt_adam_epsilon": 0,
    "opt_weight_decay": -0.01,
    "opt_base_learning_rate": 0,
    "opt_learning_rate_warmup_epochs": -1,
    "opt_learning_rate_schedule": "",
    "precision": "float8",
    "store": "tape",
    "tracked_stats": 5000.0,
}

# What only the closed division refuses.
CLOSED_BREAKAGES: list[tuple[str, str, Spoil]] = [
    ("recipe", "fast", value("recipe", "fast")),
    ("opt_name", "adamw", value("opt_name", "adamw")),
    ("opt_base_learning_rate", "0", value("opt_base_learning_rate", 0.0)),
    ("opt_adam_beta_1", "0.8", value("opt_adam_beta_1", 0.8)),
    ("opt_adam_beta_2", "missing", drop("opt_adam_beta_2")),
    ("opt_adam_epsilon", "1e-8", value("opt_adam_epsilon", 1e-8)),
    ("opt_weight_decay", "0.01", value("opt_weight_decay", 0.01)),
    ("dataset", "synthetic", value("dataset", "synthetic")),
    ("train_samples", "too few", value("train_samples", 15487)),
    ("eval_samples", "too many", value("eval_samples", 3881)),
    ("target_accuracy", "raised", value("target_accuracy", 0.95)),
    (
        "submission_github_commit_version",
        "unknown",
        value("submission_github_commit_version", "unknown"),
    ),
]


def identify(breakages: list[tuple[str, str, Spoil]]) -> list[Any]:
    return [pytest.param(key, spoil, id=f"{key}: {what}") for key, what, spoil in breakages]


def named_keys(report: check_module.CheckReport) -> set[str | None]:
    return {violation.key for violation in report.violations}


@pytest.mark.parametrize("division", ["open", "closed"])
def test_a_complete_run_is_accepted(tmp_path: Path, complete_run: Callable, division: str) -> None:
    report = check(complete_run(division).write(tmp_path / "result_0.txt"))
    assert report.accepted, report.output
    assert report.violations == report.warnings == []
    for rules in ("common", f"{division}_common", f"{division}_cloudmask"):
        assert f"Compliance checks: hpc_3.0.0/{rules}.yaml" in report.output


@pytest.mark.parametrize("division", ["open", "closed"])
def test_a_rule_file_works_alone(tmp_path: Path, complete_run: Callable, division: str) -> None:
    path = complete_run(division).write(tmp_path / "result_0.txt")
    command = [sys.executable, "-m", "mlperf_logging.compliance_checker"]
    command += ["--usage", "hpc", "--ruleset", "3.0.0", "--log_output", str(tmp_path / "out.log")]
    command += ["--config", str(RULES / f"{division}_cloudmask.yaml"), str(path)]
    completed = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert completed.returncode == 0, completed.stderr
    assert completed.stderr.rstrip().endswith("SUCCESS")


def test_an_open_run_may_use_other_recipes_data_and_optimizers(
    tmp_path: Path, complete_run: Callable
) -> None:
    run = complete_run("open")
    for key, *_, spoil in CLOSED_BREAKAGES:
        if key != "opt_base_learning_rate":
            spoil(run)
    report = check(run.write(tmp_path / "result_0.txt"))
    assert report.accepted, report.output


@pytest.mark.parametrize(("key", "spoil"), identify(BREAKAGES))
def test_a_broken_run_is_refused_by_name(
    tmp_path: Path, complete_run: Callable, key: str, spoil: Spoil
) -> None:
    run = complete_run("open")
    spoil(run)
    report = check(run.write(tmp_path / "result_0.txt"))
    assert not report.accepted
    assert key in named_keys(report), report.output


@pytest.mark.parametrize(("key", "spoil"), identify(CLOSED_BREAKAGES))
def test_the_closed_division_is_the_published_recipe(
    tmp_path: Path, complete_run: Callable, key: str, spoil: Spoil
) -> None:
    run = complete_run("closed")
    spoil(run)
    report = check(run.write(tmp_path / "result_0.txt"))
    assert not report.accepted
    assert key in named_keys(report), report.output


def test_every_required_key_is_missed(tmp_path: Path, complete_run: Callable) -> None:
    run = complete_run("open")
    # Without benchmark or division, the engine would not load the rules that ask for the rest.
    kept = {"submission_benchmark", "submission_division"}
    run[:] = [event for event in run if event.key in kept]
    missed = named_keys(check(run.write(tmp_path / "result_0.txt")))
    assert set(REQUIRED) - kept <= missed
    assert {"epoch_start", "epoch_stop", "eval_start", "eval_stop", "eval_accuracy"} <= missed


@pytest.mark.parametrize("key", ["submission_benchmark", "submission_division", "seed"])
def test_one_missing_key_is_the_one_violation(
    tmp_path: Path, complete_run: Callable, key: str
) -> None:
    run = complete_run("open")
    del run[run.at(key)]
    report = check(run.write(tmp_path / "result_0.txt"))
    assert [violation.key for violation in report.violations] == [key]


def test_no_staging_is_accepted(tmp_path: Path, complete_run: Callable) -> None:
    run = complete_run("open")
    del run[run.at("staging_start")], run[run.at("staging_stop")]
    assert check(run.write(tmp_path / "result_0.txt")).accepted


def test_every_bad_value_is_refused_by_name(tmp_path: Path, complete_run: Callable) -> None:
    run = complete_run("open")
    for key, bad in BAD_VALUES.items():
        value(key, bad)(run)
    report = check(run.write(tmp_path / "result_0.txt"))
    assert named_keys(report) == set(BAD_VALUES)


def test_initialisation_of_half_an_hour_is_refused(tmp_path: Path, complete_run: Callable) -> None:
    path = complete_run("open").write(tmp_path / "result_0.txt")
    lines = path.read_text().splitlines()
    index = complete_run("open").at("init_start")
    record = json.loads(lines[index].removeprefix(":::MLLOG "))
    record["time_ms"] -= 30 * 60 * 1000
    lines[index] = f":::MLLOG {json.dumps(record)}"
    path.write_text("\n".join(lines))
    assert named_keys(check(path)) == {"init_stop"}


def test_a_clock_that_runs_backwards_is_refused(tmp_path: Path, complete_run: Callable) -> None:
    path = complete_run("open").write(tmp_path / "result_0.txt")
    *lines, stop, result = path.read_text().splitlines()
    stop = stop.replace('"time_ms": 1', '"time_ms": 0.1')
    path.write_text("\n".join([*lines, stop, result]))
    assert named_keys(check(path)) == {"run_stop"}


def test_a_repeated_value_is_only_a_warning(tmp_path: Path, complete_run: Callable) -> None:
    run = complete_run("open")
    repeat("seed")(run)
    report = check(run.write(tmp_path / "result_0.txt"))
    assert report.accepted
    assert [warning.key for warning in report.warnings] == ["seed"]


def test_a_violation_says_where_and_what(
    tmp_path: Path, complete_run: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    run = complete_run("open")
    value("patch_size", 128)(run)
    metadata("run_stop", status="aborted")(run)
    good = complete_run("open").write(tmp_path / "good.txt")
    bad = run.write(tmp_path / "bad.txt")
    # Other output among the events: line numbers are those of the file.
    bad.write_text("a line of other output\n" + bad.read_text())
    assert check_files([good, bad]) == EXIT_REFUSED
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"SUCCESS  {good}"
    patch_line, stop_line = run.at("patch_size") + 2, run.at("run_stop") + 2
    heads = {
        f"  patch_size, line {patch_line}: failed test: v['value'] == 256",
        f"  run_stop, line {stop_line}: failed test: v['metadata']['status'] == 'success'",
    }
    assert {lines[1], lines[3]} == heads
    assert lines[2].startswith("    :::MLLOG {")
    assert lines[5:] == [f"FAILED  {bad}: 2 violations"]


def test_accepted_files_give_exit_code_0(
    tmp_path: Path, complete_run: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    path = complete_run("open").write(tmp_path / "result_0.txt")
    assert check_files([path]) == 0
    assert capsys.readouterr().out == f"SUCCESS  {path}\n"


@pytest.mark.parametrize("content", ["", "no events here\n", "\x00\xff" * 100])
def test_a_file_without_events_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "result_0.txt"
    path.write_text(content)
    report = check(path)
    assert not report.accepted
    assert "No log lines detected" in {violation.problem for violation in report.violations}


@pytest.mark.parametrize("record", ["{", "[]", '{"key": "seed"}'])
def test_a_damaged_line_is_named(tmp_path: Path, complete_run: Callable, record: str) -> None:
    path = complete_run("open").write(tmp_path / "result_0.txt")
    count = len(path.read_text().splitlines())
    with path.open("a") as file:
        file.write(f":::MLLOG {record}\n")
    report = check(path)
    assert not report.accepted
    assert count + 1 in {violation.line for violation in report.violations}


@pytest.mark.parametrize("key", ["submission_benchmark", "submission_division"])
def test_a_log_cannot_choose_rules_outside_the_checker(
    tmp_path: Path, complete_run: Callable, key: str
) -> None:
    # The engine executes what the rule file says, and makes its path of these two values.
    witness = tmp_path / "executed"
    rules = f"- BEGIN:\n    CODE: \"open({str(witness)!r}, 'w')\"\n"
    (tmp_path / "evil_common.yaml").write_text(rules)
    run = complete_run("open")
    value(key, "/../" * 30 + f"{tmp_path}/evil")(run)
    report = check(run.write(tmp_path / "result_0.txt"))
    assert named_keys(report) == {key}
    assert not witness.exists()


def test_bad_paths_are_named_before_anything_is_checked(
    tmp_path: Path, complete_run: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    good = complete_run("open").write(tmp_path / "good.txt")
    with pytest.raises(InputError, match=r"absent\.txt: no such log file"):
        check_files([good, tmp_path / "absent.txt"])
    with pytest.raises(InputError, match="not a regular file"):
        check_files([good, tmp_path])
    assert capsys.readouterr().out == ""


def test_the_installed_package_is_linked_to_and_left_as_it_is(
    tmp_path: Path, complete_run: Callable
) -> None:
    spec = find_spec("mlperf_logging")
    assert spec is not None
    assert spec.submodule_search_locations
    installed = Path(spec.submodule_search_locations[0])

    def digest() -> str:
        files = sorted(path for path in installed.rglob("*") if path.is_file())
        total = hashlib.sha256()
        for path in files:
            total.update(f"{path.relative_to(installed)}\0".encode() + path.read_bytes())
        return total.hexdigest()

    before = digest()
    assert check(complete_run("open").write(tmp_path / "result_0.txt")).accepted
    assert digest() == before
    with check_module._overlay() as overlay:
        rules = overlay / "mlperf_logging" / "compliance_checker" / RULES.name
        files = [path for path in overlay.rglob("*") if not path.is_dir()]
        assert all(path.is_symlink() for path in files)
        official = installed / "compliance_checker" / RULES.name
        assert (rules / "common.yaml").resolve() == (official / "common.yaml").resolve()
        assert (rules / "open_cloudmask.yaml").resolve().parent == RULES.resolve()
    assert not overlay.exists()


def test_both_divisions_share_the_rules_that_do_not_concern_the_recipe() -> None:
    def keys(division: str) -> dict[str, Any]:
        blocks = yaml.safe_load((RULES / f"{division}_cloudmask.yaml").read_text())
        return {(block.get("KEY") or {}).get("NAME", "BEGIN"): block for block in blocks}

    opened, closed = keys("open"), keys("closed")
    assert list(opened) == list(closed)
    assert {key for key in opened if opened[key] != closed[key]} == {
        "submission_github_commit_version",
        "train_samples",
        "eval_samples",
        "target_accuracy",
        "dataset",
        "recipe",
        "opt_name",
        "opt_adam_beta_1",
        "opt_adam_beta_2",
        "opt_adam_epsilon",
        "opt_weight_decay",
    }
