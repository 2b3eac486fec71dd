"""Tables: layout as text and Markdown, CSV, and the format of numbers."""

import math
from dataclasses import replace

import pytest

from cloudmask.tables import Table, counted, csv_text, estimate, interval, none_if_nan, number

TABLE = Table("Runs", ["log", "seconds", "note"], [["a", "12.5", "x|y"], ["bcd", "3.0", ""]], "lrl")


def test_text_has_columns_as_wide_as_their_widest_cell_aligned_by_side():
    assert TABLE.text() == "Runs\n\nlog  seconds  note\na       12.5  x|y\nbcd      3.0"


def test_markdown_marks_right_aligned_columns_and_escapes_bars():
    assert TABLE.markdown() == (
        "## Runs\n\n| log | seconds | note |\n| --- | ---: | --- |\n"
        "| a | 12.5 | x\\|y |\n| bcd | 3.0 |  |"
    )


def test_columns_without_an_alignment_are_right_aligned_and_a_title_can_be_left_out():
    assert Table("", ["mask", "iou"], [["network", "1"]]).text() == "mask     iou\nnetwork    1"
    assert Table("", ["a", "b"], []).markdown() == "| a | b |\n| --- | ---: |"


def test_notes_are_below_their_rows_within_80_columns_or_the_last_column_of_markdown():
    noted = replace(TABLE, notes=["", "why " * 30])
    lines = noted.text().splitlines()
    assert lines[3] == "a       12.5  x|y"
    assert lines[5].startswith("    why why")
    assert " ".join(lines[5:]).split() == ["why"] * 30
    assert max(map(len, lines)) <= 80
    assert noted.markdown().splitlines()[2] == "| log | seconds | note | note |"
    assert noted.markdown().splitlines()[4] == "| a | 12.5 | x\\|y |  |"


def test_columns_without_any_value_can_be_left_out():
    table = Table("", ["a", "b", "c"], [["x", "-", "1"], ["y", "-", "-"]], "lr")
    assert table.without_undefined().text() == "a  c\nx  1\ny  -"
    assert Table("", ["a"], []).without_undefined().columns == ["a"]


@pytest.mark.parametrize(
    ("count", "words", "said"),
    [
        (1, ("scene",), "1 scene"),
        (2, ("scene",), "2 scenes"),
        (0, ("scene", "training"), "0 training scenes"),
        (1, ("patch", "validation"), "1 validation patch"),
        (20, ("patch",), "20 patches"),
        (2, ("epoch",), "2 epochs"),
        (3, ("process",), "3 processes"),
    ],
)
def test_noun_agrees_with_its_number(count, words, said):
    assert counted(count, *words) == said


@pytest.mark.parametrize(("form", "start"), [("text", "Runs"), ("markdown", "## Runs")])
def test_table_is_rendered_in_the_given_format(form, start):
    assert TABLE.render(form).splitlines()[0] == start


def test_csv_quotes_and_leaves_undefined_values_empty():
    rows = [["a,b", None, math.nan], ["c", 1.5, True]]
    assert csv_text(["x", "y", "z"], rows) == 'x,y,z\n"a,b",,\nc,1.5,True\n'


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_undefined_number_is_a_dash(value):
    assert number(value) == "-"
    assert interval(value, 2.0) == interval(1.0, value) == "-"


def test_numbers_have_the_decimals_and_the_sign_asked_for():
    assert number(1.25, 3) == "1.250"
    assert number(2) == "2.0"
    assert number(0.5, 2, sign=True) == "+0.50"
    assert interval(-1, 2.34, 2) == "-1.00 to 2.34"
    assert interval(-1, 2.34, 2, sign=True) == "-1.00 to +2.34"


def test_estimate_shows_its_interval_where_there_is_one():
    assert estimate({"value": 0.5, "low": 0.4, "high": 0.6}, 2) == "0.50 (0.40 to 0.60)"
    assert estimate({"value": 0.5, "low": -0.4, "high": 0.6}, 1, True) == "+0.5 (-0.4 to +0.6)"
    assert estimate({"value": 0.5, "low": None, "high": None}, 2) == "0.50"
    assert estimate({"value": None, "low": None, "high": None}) == estimate(None) == "-"


def test_none_replaces_nan_alone():
    assert none_if_nan(math.nan) is None
    assert [none_if_nan(value) for value in (0.0, math.inf, "nan", None)] == [
        *(0.0, math.inf, "nan", None)
    ]
