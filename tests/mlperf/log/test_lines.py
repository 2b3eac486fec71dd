"""The lines of a log, read as the official parser reads them."""

import pytest
from mlperf_logging.compliance_checker import mlp_parser

from cloudmask.errors import InputError
from cloudmask.mlperf.log.lines import LONGEST_LINE, file_lines, read_lines, require_file

RECORD = '{"namespace": "", "time_ms": 7, "event_type": "POINT_IN_TIME", "key": "seed", "value": 5'
LINE = f':::MLLOG {RECORD}, "metadata": {{"file": "a.py", "lineno": 1}}}}'


def test_text_before_the_token_is_ignored_as_in_the_official_parser(tmp_path):
    path = tmp_path / "result_0.txt"
    path.write_text(f"12:00 rank 3: {LINE}\nother output\n:::MLLOG x {LINE}\n")
    official, failed = mlp_parser.parse_file(str(path), ruleset="3.0.0")
    assert not failed
    ours = read_lines(path)
    assert [line.number for line in ours] == [1, 3]
    assert [line.record["value"] for line in ours] == [line.value["value"] for line in official]
    assert [line.text for line in ours] == [LINE, LINE]


@pytest.mark.parametrize("field", ["time_ms", "key", "value", "metadata"])
def test_a_record_without_a_field_is_none(tmp_path, field):
    path = tmp_path / "result_0.txt"
    path.write_text(LINE.replace(f'"{field}"', '"other"') + "\n")
    assert read_lines(path)[0].record is None


def test_a_longer_line_is_cut_and_the_next_one_is_whole(tmp_path):
    path = tmp_path / "result_0.txt"
    path.write_text("x" * (3 * LONGEST_LINE) + "\n" + "y" * (LONGEST_LINE - 1) + "\nz")
    first, second, last = file_lines(path)
    assert (first.number, len(first.text), first.cut, first.ended) == (1, LONGEST_LINE, True, True)
    assert (second.number, second.text[0], second.cut) == (2, "y", False)
    assert (last.text, last.cut, last.ended) == ("z", False, False)


def test_a_file_that_is_no_log_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.txt: no such log file"):
        require_file(tmp_path / "absent.txt")
    with pytest.raises(InputError, match="not a regular file"):
        require_file(tmp_path)
    (tmp_path / "log.txt").write_bytes(b"12345")
    assert require_file(tmp_path / "log.txt") == 5
