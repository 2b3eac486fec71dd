"""The command `report` and the page that it writes, on real files."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from cloudmask.cli import main
from cloudmask.model.unet import UNet
from cloudmask.model.weights import save_weights
from cloudmask.report.blocks import Section, TableBlock
from cloudmask.report.figure_style import COLOURS
from cloudmask.report.page import render
from cloudmask.tables import Table
from tests.paths import ROOT
from tests.report.run_logs import write_log
from tests.scene_files import product_name, write_learnable_scene, write_scene


class Elements(HTMLParser):
    """The start tags of a page."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


class Tables(HTMLParser):
    """The tables of a page: rows of cells by caption."""

    def __init__(self, page):
        super().__init__()
        self.found = {}
        self._caption, self._in_caption = "", False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag == "caption":
            self._caption, self._in_caption = "", True
        elif tag == "tr":
            self.found.setdefault(self._caption, []).append([])
        elif tag in ("th", "td"):
            self.found[self._caption][-1].append("")

    def handle_endtag(self, tag):
        self._in_caption &= tag != "caption"
        if tag == "table":
            self._caption = ""

    def handle_data(self, data):
        if self._in_caption:
            self._caption += data.strip()
        elif data.strip() and self.found.get(self._caption) and self.found[self._caption][-1]:
            self.found[self._caption][-1][-1] += data.strip()


def report(*arguments):
    return main(["report", *map(str, arguments)])


@pytest.fixture
def logs(tmp_path):
    write_log(tmp_path / "logs" / "result_0.txt")
    write_log(tmp_path / "logs" / "result_1.txt", (0.7,), "aborted")
    return tmp_path / "logs"


@pytest.mark.slow
def test_same_input_gives_the_same_bytes(tmp_path, logs, evaluation_folder):
    scene = write_scene(tmp_path / product_name(0))
    given = [logs, "--evaluation", evaluation_folder, "--scenes", scene]
    for output in ("one", "two"):
        assert report(*given, "--output", tmp_path / output) == 0
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(names) == 8
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_figures_take_their_colours_from_the_style_sheet_and_no_identifier_occurs_twice(
    tmp_path, logs, evaluation_folder
):
    report(logs, "--evaluation", evaluation_folder, "--output", tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    body = page[page.index("<body>") :]
    assert "var(--ink)" in body
    assert not [value for value in COLOURS.values() if value in body]
    identifiers = [found["id"] for _, found in Elements(page).found if "id" in found]
    assert len(identifiers) == len(set(identifiers))
    targets = re.findall(r'(?:href="|url\()#([^")]+)', page)
    assert set(targets) <= set(identifiers)


def test_numbers_of_the_page_are_those_of_the_evaluation(tmp_path, logs, evaluation_folder):
    assert report(logs, "--evaluation", evaluation_folder, "--output", tmp_path / "out") == 0
    evaluation = json.loads((evaluation_folder / "evaluation.json").read_text())
    tables = Tables((tmp_path / "out" / "report.html").read_text()).found
    truth = evaluation["references"]["truth"]
    for title, masks in (
        ("Against truth, 6000 pixels", truth["masks"]),
        ("Against label, 6000 pixels", evaluation["references"]["label"]["masks"]),
        ("SST consistency, no truth needed", evaluation["sst"]["masks"]),
    ):
        head, *rows = tables[title]
        assert [row[0] for row in rows] == list(masks)
        for mask, *cells in rows:
            for name, cell in zip(head[1:], cells, strict=True):
                score = masks[mask].get(name.replace(" ", "_"))
                assert cell == (f"{score['value']:.4f}" if score else "-")
    _, *rows = tables["network minus mask, against truth"]
    difference = truth["differences"]["bayesian_screen"]["accuracy"]
    value, low, high = (f"{difference[part]:+.4f}" for part in ("value", "low", "high"))
    assert rows[0][:2] == ["accuracy", f"{value} ({low} to {high})"]
    head, *rows = tables["accuracy by scene, against truth"]
    assert head[:3] == ["scene", "day share", "network"]
    expected = [scene["references"]["truth"]["network"] for scene in evaluation["per_scene"]]
    assert [row[2] for row in rows] == [f"{scores['accuracy']:.4f}" for scores in expected]
    _, *rows = tables["cloudy share by probability, against truth"]
    bins = truth["reliability"]["network"]
    assert [row[0] for row in rows] == [f"{n / 10:.1f} to {(n + 1) / 10:.1f}" for n in range(10)]
    assert [row[2] for row in rows] == [f"{each['pixels']:.0f}" for each in bins]
    assert rows[8][1] == f"{bins[8]['cloudy_share']:.4f}"
    _, *rows = tables["agreement of two masks"]
    for row, pair in zip(rows, evaluation["agreement"], strict=True):
        values = [f"{pair[name]['value']:.4f}" for name in ("agreement", "kappa")]
        assert row == [*pair["masks"], *values]


def test_numbers_of_the_page_are_those_of_the_logs(tmp_path, logs):
    assert report(logs, "--output", tmp_path / "out") == 0
    tables = Tables((tmp_path / "out" / "report.html").read_text()).found
    assert tables["Seconds by phase"] == [
        [
            *("run", "outcome", "init", "staging", "training"),
            *("evaluation", "rest", "on the clock"),
        ],
        ["result_0", "success", "3.0", "2.0", "20.0", "2.0", "1.0", "25.0"],
        ["result_1", "aborted", "3.0", "2.0", "10.0", "1.0", "1.0", "14.0"],
    ]
    assert tables["All evaluations"][1:] == [
        ["result_0", "1", "14.0", "0.8500", "0.1500"],
        ["result_0", "2", "25.0", "0.9100", "0.0900"],
        ["result_1", "1", "14.0", "0.7000", "0.3000"],
    ]
    (results,) = (rows for title, rows in tables.items() if title.startswith("Result on the inf"))
    assert results[1] == ["result_0", "0.8716", "4"]


def test_truncated_log_is_shown_as_an_unfinished_run(tmp_path, logs):
    log = logs / "result_1.txt"
    text = log.read_text()
    log.write_text(text[: text.index('"run_stop"') + 5])
    assert report(logs, "--output", tmp_path / "out") == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "result_1 unfinished: " in page
    row = Tables(page).found["Seconds by phase"][2]
    assert row == ["result_1", "unfinished", "3.0", "2.0", "10.0", "1.0", "-", "-"]


def test_what_is_not_given_is_left_out_with_the_way_to_get_it(tmp_path, logs):
    assert report(logs, "--output", tmp_path / "out") == 0
    page = (tmp_path / "out" / "report.html").read_text()
    for said in ("No evaluation was given", "No scenes were given", "cloudmask evaluate"):
        assert said in page
    assert "Calibration" not in page
    assert "aborted" in page


def test_without_weights_the_quicklooks_say_how_to_get_the_network(tmp_path, logs):
    write_scene(tmp_path / "scenes" / product_name(0))
    assert report(logs, "--scenes", tmp_path / "scenes", "--output", tmp_path / "out") == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "No weights were given" in page
    assert "Threshold screen against label" in page


def test_names_from_logs_are_text_and_never_markup(tmp_path):
    name = "<script>alert(1)</script> $x^2$"
    write_log(tmp_path / "logs" / "result_0.txt", platform=name)
    report(tmp_path / "logs", "--output", tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "script" not in {tag for tag, _ in Elements(page).found}
    assert "&lt;script&gt;alert(1)&lt;/script&gt; $x^2$" in page
    assert not re.search(r"[<>$^ ]", "".join(p.name for p in (tmp_path / "out").iterdir()))


def test_cells_of_a_table_have_their_headings():
    page = render(
        "Title", [Section("s", "Some", [TableBlock(Table("Numbers", ["run", "s"], [["a", "1"]]))])]
    )
    tags = [(tag, found.get("scope")) for tag, found in Elements(page).found]
    assert tags.count(("th", "col")) == 2
    assert tags.count(("th", "row")) == 1
    assert tags.count(("caption", None)) == 1


def test_note_is_shown_below_its_row_where_there_is_one():
    table = Table("Numbers", ["run", "s"], [["a", "1"], ["b", "2"]], notes=["", "why <b>"])
    page = render("Title", [Section("s", "Some", [TableBlock(table)])])
    (row,) = re.findall(r'<tr class="note">(.*)</tr>', page)
    assert row == '<td colspan="2"><span>why &lt;b&gt;</span></td>'
    assert page.index("<td>2</td>") < page.index(row)


def test_several_systems_are_put_side_by_side(tmp_path, logs):
    shutil.copytree(logs, tmp_path / "others")
    assert report(logs, tmp_path / "others", "--output", tmp_path / "out") == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Systems side by side" in page
    assert page.index('class="card"') < page.index("Systems side by side</h2>")
    assert page.count('class="card"') == 2
    assert "published figures for ds1, not ranked" in page
    assert f"seed 7 is that of {logs}/result_0.txt" in page
    for folder in (logs, tmp_path / "others"):
        assert f"Time to solution: Some system ({folder})</h2>" in page
    assert len(list((tmp_path / "out").glob("*-time.png"))) == 2


def test_bad_scene_is_named_and_the_others_are_shown(tmp_path, logs, capsys):
    write_scene(tmp_path / "scenes" / product_name(0))
    (tmp_path / "scenes" / product_name(1)).write_bytes(b"no scene")
    assert report(logs, "--scenes", tmp_path / "scenes", "--output", tmp_path / "out") == 4
    assert f"not shown: {product_name(1)}" in capsys.readouterr().out
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"Not shown: {product_name(1)}" in page
    assert page.count('class="gallery"') == 1
    assert f'href="quicklook-{product_name(0).removesuffix(".hdf")}.png"' in page


def test_scenes_whose_names_are_no_text_are_shown_or_named_with_escapes(tmp_path, logs, capsys):
    write_scene(tmp_path / "scenes" / os.fsdecode(b"S3A_1\xff.hdf"))
    (tmp_path / "scenes" / os.fsdecode(b"S3A_2\xfe.hdf")).write_bytes(b"no scene")
    assert report(logs, "--scenes", tmp_path / "scenes", "--output", tmp_path / "out") == 4
    assert r"S3A_2\udcfe.hdf: the file is not HDF5" in capsys.readouterr().out
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert r"S3A_1\udcff.hdf" in page
    assert r"S3A_2\udcfe.hdf" in page


def test_scenes_to_show_are_spread_evenly_over_their_folder(tmp_path, logs):
    for number in range(3):
        write_scene(tmp_path / "scenes" / product_name(number))
    given = ["--scenes", tmp_path / "scenes", "--quicklooks", "2", "--output", tmp_path / "out"]
    assert report(logs, *given) == 0
    shown = sorted(path.name for path in (tmp_path / "out").glob("quicklook-*.png"))
    assert shown == [f"quicklook-{product_name(n).removesuffix('.hdf')}.png" for n in (0, 2)]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["{tmp}/nowhere"], "nowhere: no such folder"),
        (["{logs}", "--evaluation", "nothing.json"], "nothing.json"),
        (["{logs}", "--scenes", "{tmp}/nowhere"], "nowhere"),
        (["{logs}", "--scenes", "{scene}", "--weights", "nothing.safetensors"], "nothing.safe"),
        (["{logs}", "--scenes", "{scene}", "--bayesian-screen", "nothing.npz"], "nothing.npz"),
        (["{logs}", "--scenes", "{tmp}", "--quicklooks", "0"], "--quicklooks is 0"),
        (["{logs}", "--output", "{scene}/out"], "cannot be written"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(tmp_path, logs, capsys, arguments, named):
    scene = write_scene(tmp_path / "one" / product_name(0))
    places = {"tmp": tmp_path, "logs": logs, "scene": scene}
    output = [] if "--output" in arguments else ["--output", tmp_path / "out"]
    assert report(*(part.format(**places) for part in arguments), *output) == 2
    message = capsys.readouterr().err
    assert named in message
    assert len(message.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_report_of_everything_that_the_other_commands_make(tmp_path, logs):
    for number in range(2):
        write_learnable_scene(tmp_path / "scenes" / product_name(number), number)
    weights = tmp_path / "weights_0.safetensors"
    save_weights(weights, UNet(widths=(2, 2, 2, 2)))
    given = ["--weights", str(weights), "--scenes", str(tmp_path / "scenes")]
    evaluated = ["--training-scenes", str(tmp_path / "scenes"), "--output", str(tmp_path / "e")]
    assert main(["evaluate", *given, *evaluated]) == 0
    given += ["--quicklooks", "1", "--evaluation", tmp_path / "e", "--output", tmp_path / "out"]
    assert report(logs, *given) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    for said in ("fitted to scenes", "Network against truth", "Bayesian screen against truth"):
        assert said in page
    assert "No weights" not in page
    assert "No fitted" not in page


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["MPLBACKEND", "MATPLOTLIBRC"])
def test_the_users_settings_of_matplotlib_change_nothing(tmp_path, logs, variable):
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nlines.linewidth: 9\n")
    backend = "module://matplotlib_inline.backend_inline"
    value = {"MPLBACKEND": backend, "MATPLOTLIBRC": str(tmp_path)}[variable]
    pages = []
    for name, variables in (("plain", {}), ("changed", {variable: value})):
        subprocess.run(
            [sys.executable, "-m", "cloudmask", "report", logs, "--output", tmp_path / name],
            env={**os.environ, **variables},
            cwd=ROOT,
            check=True,
        )
        pages.append((tmp_path / name / "report.html").read_bytes())
    assert pages[0] == pages[1]
