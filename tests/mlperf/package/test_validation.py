"""A package is refused with every reason, and nothing is written."""

import json
from typing import Any

import pytest

from cloudmask.cli import main
from cloudmask.errors import InputError
from cloudmask.mlperf.package.command import package
from cloudmask.mlperf.package.request import Request, group_by_system
from cloudmask.mlperf.package.validation import validation_errors
from cloudmask.mlperf.score.runs import find_logs, read_run
from tests.mlperf.package.submission_files import (
    TIMES,
    SubmissionFiles,
    head,
    write_description,
    write_evaluation,
)
from tests.mlperf.run_events import Event, Run
from tests.mlperf.timed_logs import COMMIT, miss_the_target, set_value, unchecked


def reasons(request: Request) -> list[str]:
    """What is objected to in runs that each count by themselves."""
    runs = unchecked(find_logs(request.runs))
    return validation_errors(request, runs, group_by_system(request, runs))


def resumed(run: Run) -> None:
    """The mark of a run that went on from a checkpoint."""
    run.insert(run.at("epoch_start"), Event("event", "resumed", 1))


def without_configuration(run: Run) -> None:
    """As logs were before they carried it."""
    run.pop(run.at("configuration"))


def test_good_runs_are_not_objected_to(submission: SubmissionFiles) -> None:
    assert reasons(submission.request(submission.system("Big"))) == []


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (resumed, "resumed from a checkpoint"),
        (set_value("patch_size", 128), "refused by check: patch_size"),
        (set_value("submission_github_commit_version", "unknown"), "the commit of its source"),
        (
            set_value("submission_github_commit_version", f"{head()}-dirty"),
            "its source differed from the commit (dirty tree)",
        ),
    ],
)
def test_a_run_that_does_not_count_is_named(
    submission: SubmissionFiles, spoil: Any, reason: str
) -> None:
    request = submission.request(submission.system("Big"))
    bad = submission.runs("bad", set_value("submission_platform", "Big"), spoil, times=[50])
    runs = [*unchecked(find_logs(request.runs)), read_run(bad / "result_0.txt")]
    found = validation_errors(request, runs, group_by_system(request, runs))
    assert any(each.startswith(f"{bad}/result_0.txt: {reason}") for each in found)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (set_value("seed", 7), "result_1.txt: seed 7 is that of"),
        (set_value("dataset", "synthetic"), "data are synthetic and would be presented as ds1"),
        (set_value("train_samples", 180), "180 training and 3840 validation patches are not those"),
        (set_value("recipe", "fast"), "division closed with recipe fast: closed takes reference"),
        (without_configuration, "Big: its logs do not carry the configuration"),
    ],
)
def test_a_broken_rule_is_named(submission: SubmissionFiles, spoil: Any, reason: str) -> None:
    division = set_value("submission_division", "closed" if "closed" in reason else "open")
    folder = submission.system("Big", division, spoil)
    assert any(reason in found for found in reasons(submission.request(folder)))


@pytest.mark.parametrize(("count", "right"), [(15487, False), (15488, True), (15424, True)])
def test_ds1_has_the_counts_of_one_of_its_copies(
    submission: SubmissionFiles, count: int, right: bool
) -> None:
    folder = submission.system("Big", set_value("train_samples", count))
    assert bool(reasons(submission.request(folder))) != right


def test_a_commit_that_is_not_in_the_history_is_named(submission: SubmissionFiles) -> None:
    foreign = set_value("submission_github_commit_version", COMMIT)
    (found,) = reasons(submission.request(submission.system("Big", foreign)))
    assert found.startswith(f"commit {COMMIT} of the runs is not in this repository's history")


def test_runs_of_two_commits_are_told_apart(submission: SubmissionFiles) -> None:
    one = submission.system("Big")
    other = submission.system("Small", set_value("submission_github_commit_version", COMMIT))
    found = reasons(submission.request(one, other))
    assert any(
        each.startswith("the runs are of different commits") and f"{COMMIT[:8]}: " in each
        for each in found
    )


def test_the_hpc_layout_takes_five_runs_and_that_of_science_one(
    submission: SubmissionFiles,
) -> None:
    name = set_value("submission_platform", "Big")
    write_description(submission.folder / "systems" / "Big.json")
    few = submission.request(submission.runs("few", name, times=TIMES[:4]))
    assert reasons(few) == ["Big: 4 runs given: a score takes 5"]
    evaluation = write_evaluation(submission.folder / "evaluation.json")
    one = submission.runs("one", name, times=TIMES[:1])
    assert reasons(submission.request(one, layout="science", evaluation=evaluation)) == []


def test_of_more_than_five_runs_those_of_the_score_are_packaged(
    submission: SubmissionFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    name = set_value("submission_platform", "Big")
    write_description(submission.folder / "systems" / "Big.json")
    many = submission.runs("many", name, times=[90, 91, 92, 93, 94, 95, 101])
    request = submission.request(many)
    assert package(request) == 0
    results = request.destination / "results" / "Big" / "strong" / "cloudmask"
    for number in range(5):
        original = (many / f"result_{number + 1}.txt").read_bytes()
        assert (results / f"result_{number}.txt").read_bytes() == original
    left_out = ", ".join(str(many / f"result_{number}.txt") for number in (0, 6))
    assert f"note: not among the five runs of the score: {left_out}" in capsys.readouterr().out


@pytest.mark.parametrize(("failed", "exit_code"), [(1, 0), (2, 1)])
def test_one_of_five_runs_may_have_failed_as_in_the_official_checker(
    submission: SubmissionFiles,
    capsys: pytest.CaptureFixture[str],
    failed: int,
    exit_code: int,
) -> None:
    name = set_value("submission_platform", "Big")
    write_description(submission.folder / "systems" / "Big.json")
    good = submission.runs("good", name, times=TIMES[failed:])
    bad = submission.runs("bad", name, miss_the_target, times=TIMES[:failed], first_seed=200)
    assert package(submission.request(good, bad)) == exit_code
    assert capsys.readouterr().err.count("aborted: accuracy 0.89") == (2 if exit_code else 0)
    science = submission.request(good, bad, layout="science", out=submission.folder / "science")
    assert package(science) == 1
    assert capsys.readouterr().err.count("aborted: accuracy 0.89") == failed


def test_systems_mixed_in_one_folder_are_named(submission: SubmissionFiles) -> None:
    folder = submission.system("Big")
    submission.system("Small")
    (submission.folder / "Small" / "result_0.txt").rename(folder / "result_5.txt")
    found = reasons(submission.request(folder, submission.folder / "Small"))
    assert f"{folder}: mixes runs of Big, Small; one folder for each system" in found


def test_runs_that_differ_in_more_than_the_seed_are_named_by_what_differs(
    submission: SubmissionFiles,
) -> None:
    folder = submission.system("Big")
    name = set_value("submission_platform", "Big")
    other = submission.runs("other", name, set_value("opt_base_learning_rate", 0.002), times=[90])
    assert "Big: its runs differ in more than the seed: opt_base_learning_rate" in reasons(
        submission.request(folder, other)
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"submitter": "Somebody"}, "submitter is 'Somebody', of the package and its logs 'Acme'"),
        ({"division": "closed"}, "division is 'closed', of the package and its logs 'open'"),
        ({"number_of_nodes": "1"}, "number_of_nodes is '1', of the package and its logs '2'"),
        ({"accelerators_per_node": 16}, "not strings, as the official checker wants"),
    ],
)
def test_a_description_that_contradicts_the_logs_is_named(
    submission: SubmissionFiles, changes: dict[str, Any], reason: str
) -> None:
    folder = submission.system("Big")
    write_description(submission.folder / "systems" / "Big.json", **changes)
    assert any(reason in found for found in reasons(submission.request(folder)))


def test_the_fields_that_a_description_lacks_are_named(submission: SubmissionFiles) -> None:
    folder = submission.system("Big")
    path = submission.folder / "systems" / "Big.json"
    path.write_text(json.dumps({"submitter": "Acme"}))
    (found,) = reasons(submission.request(folder))
    assert found.startswith(f"{path}: lacks fields of a system description: division, status,")


def test_a_missing_description_says_how_to_make_one(submission: SubmissionFiles) -> None:
    folder = submission.system("Big")
    (found,) = reasons(submission.request(folder, system_description=()))
    assert "no system description systems/Big.json; make it on that system with" in found


def test_the_science_layout_wants_an_evaluation_of_the_data_it_presents(
    submission: SubmissionFiles,
) -> None:
    folder = submission.system("Big")
    (found,) = reasons(submission.request(folder, layout="science"))
    assert found.startswith("no --evaluation: ")
    path = write_evaluation(submission.folder / "evaluation.json", reference="truth")
    (found,) = reasons(submission.request(folder, layout="science", evaluation=path))
    assert "its scenes have a truth, which only synthetic ones have" in found
    path.write_text("{}")
    (found,) = reasons(submission.request(folder, layout="science", evaluation=path))
    assert "was not written by `cloudmask evaluate`" in found


def test_every_reason_is_printed_at_once_and_nothing_is_written(
    submission: SubmissionFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = submission.system("Big", set_value("dataset", "synthetic"), set_value("seed", 7))
    (submission.folder / "systems" / "Big.json").unlink()
    assert package(submission.request(folder)) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6
    assert all(line.startswith("refused: ") for line in lines)
    assert not (submission.folder / "out").exists()


def test_names_that_cannot_be_folders_and_taken_places_are_bad_input(
    submission: SubmissionFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = submission.system("Big")
    for name in ("../Acme", "", "a/b", ".."):
        with pytest.raises(InputError, match="cannot name a folder"):
            package(submission.request(folder, submitter=name))
    (submission.folder / "out" / "Acme").mkdir(parents=True)
    command = ["package", "--layout", "hpc", "--submitter", "Acme", "--runs", str(folder)]
    assert main([*command, "--out", str(submission.folder / "out")]) == 2
    assert "Acme is there already" in capsys.readouterr().err


def test_a_log_that_cannot_be_read_is_a_reason_even_alone(
    submission: SubmissionFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    log = submission.folder / "result_0.txt"
    log.write_text("nothing")
    assert package(submission.request(log)) == 1
    assert f"refused: {log}: {log}: holds no event of a run" in capsys.readouterr().err


def test_mlcommons_science_has_the_open_division_only(submission: SubmissionFiles) -> None:
    folder = submission.system("Big", set_value("submission_division", "closed"))
    write_description(submission.folder / "systems" / "Big.json", division="closed")
    evaluation = write_evaluation(submission.folder / "evaluation.json")
    (found,) = reasons(submission.request(folder, layout="science", evaluation=evaluation))
    assert found.startswith("Big: division closed: MLCommons Science has the open division only")
    assert reasons(submission.request(folder)) == []
