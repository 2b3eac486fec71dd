"""Summaries and comparisons as their users read them."""

import csv
import io
import json
from pathlib import Path

import pytest

from cloudmask.cli import main
from cloudmask.mlperf.score.compare import ComparisonRow, comparison_rows, comparison_tables
from cloudmask.mlperf.score.runs import find_logs, read_runs
from tests.mlperf.timed_logs import set_value, write_runs

SLOW = [100, 103, 98, 101, 99]
FAST = [50, 51, 49, 52, 48]


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slow and a fast system on DS1, and one on synthetic scenes that is faster than both."""
    folder = tmp_path_factory.mktemp("systems")
    for platform, times in (("Slow", SLOW), ("Fast", FAST)):
        write_runs(folder / platform, times, set_value("submission_platform", platform))
    synthetic = [set_value("dataset", "synthetic"), set_value("train_samples", 180)]
    write_runs(folder / "Toy", [1, 2, 3], set_value("submission_platform", "Toy"), *synthetic)
    return folder


def rows_of(folder: Path) -> dict[str, ComparisonRow]:
    """The rows of a comparison by system."""
    return {row.system: row for row in comparison_rows(read_runs(find_logs([folder])))}


@pytest.fixture(scope="module")
def rows(systems: Path) -> dict[str, ComparisonRow]:
    """The rows of the three systems."""
    return rows_of(systems)


Rows = dict[str, ComparisonRow]


def test_systems_are_ranked_by_score_with_ratios_and_intervals(rows: Rows) -> None:
    fast, slow = rows["Fast"], rows["Slow"]
    assert (fast.rank, slow.rank) == (1, 2)
    assert (fast.seconds, slow.seconds) == (50, 100)
    assert (fast.ratio, slow.ratio) == (1, 2)
    assert (fast.ratio_low, fast.ratio_high) == (None, None)
    assert slow.ratio_low is not None
    assert slow.ratio_high is not None
    assert 1.8 < slow.ratio_low < 2 < slow.ratio_high < 2.2


def test_the_table_has_the_fastest_first(rows: Rows) -> None:
    ranked, synthetic, published = comparison_tables(rows.values())
    assert [row[:2] for row in ranked.rows] == [["Fast", "1"], ["Slow", "2"]]
    assert "| Fast | 1 | 32 | 5 | 50.0 | 46.9 to 53.3 | 3.0 | 1.00 |" in ranked.markdown()
    assert synthetic.title.startswith("synthetic data (180 + 3840 patches)")
    assert published.title == "published figures for ds1, not ranked"
    assert "rank" not in published.columns


def test_synthetic_results_are_never_ranked_with_those_of_ds1(rows: Rows) -> None:
    assert rows["Toy"].benchmark != rows["Fast"].benchmark == rows["Slow"].benchmark
    assert rows["Toy"].ratio == 1
    assert rows["Toy"].rank is None
    assert "no score: a score takes 5 runs" in rows["Toy"].note


def test_published_figures_are_marked_and_compared_with_ds1_only(rows: Rows, systems: Path) -> None:
    published = [row for row in rows.values() if row.published]
    assert [row.rank for row in published] == [None] * len(published)
    assert all(row.note.startswith("published; other data loading") for row in published)
    headline = published[0]
    assert headline.seconds == 59 * 60
    assert headline.ratio == pytest.approx(59 * 60 / 50)
    for row in rows_of(systems / "Toy").values():
        assert row.ratio is None or not row.published


def test_a_system_whose_runs_do_not_count_is_listed_without_a_time(tmp_path: Path) -> None:
    write_runs(tmp_path, FAST, commit="unknown")
    row = rows_of(tmp_path)["DGX2_2x16"]
    assert (row.rank, row.seconds, row.ratio, row.runs) == (None, None, None, 0)
    assert "left out: 5 of 5 runs" in row.note


def test_a_faster_system_without_a_score_comes_behind_those_with_one(tmp_path: Path) -> None:
    write_runs(tmp_path / "Slow", SLOW, set_value("submission_platform", "Slow"))
    write_runs(tmp_path / "Few", [1, 2, 3], set_value("submission_platform", "Few"))
    rows = [row for row in rows_of(tmp_path).values() if not row.published]
    assert [(row.system, row.rank) for row in rows] == [("Slow", 1), ("Few", None)]


def test_compare_prints_the_same_as_table_csv_and_json(
    systems: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = {}
    for form in ("text", "markdown", "csv", "json"):
        assert main(["compare", str(systems / "Toy"), "--format", form]) == 0
        printed[form] = capsys.readouterr().out
    rows = json.loads(printed["json"])["rows"]
    lines = list(csv.DictReader(io.StringIO(printed["csv"])))
    assert [row["system"] for row in rows] == [line["system"] for line in lines]
    assert float(lines[0]["seconds"]) == rows[0]["seconds"] == 2
    assert "| Toy | 32 | 3 | 2.0 |" in printed["markdown"]
    assert "\nToy       32     3      2.0  " in printed["text"]


def test_summarize_says_of_every_run_whether_it_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_runs(tmp_path / "a", SLOW)
    write_runs(tmp_path / "b", [7])
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "result_0.txt").write_text("nothing\n")
    assert main(["summarize", str(tmp_path)]) == 4
    text = capsys.readouterr().out
    assert "Score 100.0 s (95 % interval " in text
    assert "runs 98.0 to 103.0" in text
    assert f"no: seed 100 is that of {tmp_path}/a/result_0.txt" in text
    assert f"Not read\n\n- {tmp_path}/c/result_0.txt: holds no event of a run" in text


@pytest.mark.parametrize("command", ["summarize", "compare"])
@pytest.mark.parametrize("form", ["text", "json", "csv", "markdown"])
def test_logs_that_cannot_be_read_show_in_the_exit_code(tmp_path, capsys, command, form):
    write_runs(tmp_path / "a", [7])
    damaged = tmp_path / "c" / "result_0.txt"
    damaged.parent.mkdir()
    damaged.write_text("nothing\n")
    for folders, code in ((["a"], 0), (["a", "c"], 4), (["c"], 2)):
        paths = [str(tmp_path / folder) for folder in folders]
        assert main([command, *paths, "--format", form]) == code
        printed = capsys.readouterr()
        assert ("holds no event of a run" in printed.out + printed.err) == (code != 0)


def test_summarize_gives_the_same_as_json_and_csv(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_runs(tmp_path, SLOW)
    main(["summarize", str(tmp_path), "--format", "json"])
    (system,) = json.loads(capsys.readouterr().out)["systems"]
    main(["summarize", str(tmp_path), "--format", "csv"])
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert (system["seconds"], system["official"], system["epochs"]) == (100, True, 3)
    assert [run["seconds"] for run in system["runs"]] == SLOW
    assert [float(line["seconds"]) for line in lines] == SLOW
    assert [int(line["seed"]) for line in lines] == [run["seed"] for run in system["runs"]]


def test_a_folder_without_logs_is_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("summarize", "compare"):
        assert main([command, str(tmp_path)]) == 2
        assert "holds no result_N.txt" in capsys.readouterr().err
