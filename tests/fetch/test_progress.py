"""What a fetch shows while it runs."""

import io
import sys

import pytest

from cloudmask.fetch import progress as module
from cloudmask.fetch.progress import Progress, format_bytes


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, moved by hand."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_a_line_every_ten_seconds_without_a_terminal(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress("fetch", 4_000_000, 5, done=1_000_000)
    clock[0] += 9.9
    progress.add(1_000_000)
    progress.show()
    assert capsys.readouterr().err == ""
    clock[0] += 0.1
    progress.add_file()
    progress.show()
    progress.show()
    assert capsys.readouterr().err == (
        "fetch: 1 of 5 files, 2 MB of 4 MB, 100 kB/s, 0:00:20 left\n"
    )
    clock[0] += 9.9
    progress.show()
    assert capsys.readouterr().err == ""
    clock[0] += 0.1
    progress.add_to_total(1_000_000)
    progress.add(500_000)
    progress.show()
    assert capsys.readouterr().err == (
        "fetch: 1 of 5 files, 2.5 MB of 5 MB, 75 kB/s, 0:00:33 left\n"
    )
    assert progress.summary() == "1.5 MB in 0:00:20, 75 kB/s"
    progress.close()
    assert capsys.readouterr().err == ""


def test_no_time_is_foretold_before_the_first_byte(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress("verify", 4_000, 1)
    clock[0] += 10
    progress.show()
    assert capsys.readouterr().err == "verify: 0 of 1 file, 0 bytes of 4 kB, 0 bytes/s\n"


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress("fetch", 4_000_000, 2)
    progress.add(1_000_000)
    progress.add_file()
    progress.close()
    assert "fetch:  25%" in terminal.getvalue()
    assert "1.00M/4.00M" in terminal.getvalue()
    assert "1/2 files" in terminal.getvalue()


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (163_123_456_789, "163 GB"),
        (4_900_000_000_000, "4.9 TB"),
    ],
)
def test_bytes_have_three_digits_and_a_decimal_prefix(count: int, text: str) -> None:
    assert format_bytes(count) == text
