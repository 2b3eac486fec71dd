"""Exit codes and messages by which a command ends, as scripts rely on them."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cloudmask import cli, errors
from cloudmask.commands import check
from cloudmask.distributed.launcher import Part
from cloudmask.distributed.run_store import RunStore
from tests.distributed.ports import reserved_port
from tests.launches import LAUNCH_OF_RANK_1


@pytest.fixture(autouse=True)
def signals():
    """The signal handlers of the test process, restored after the command has set its own."""
    before = {number: signal.getsignal(number) for number in cli.STOP_SIGNALS}
    yield
    for number, action in before.items():
        signal.signal(number, action)


def test_the_exit_codes_are_those_of_the_readme():
    assert errors.EXIT_OK == 0
    assert errors.EXIT_NO == 1
    assert errors.EXIT_INPUT == 2
    assert errors.EXIT_TARGET_MISSED == 3
    assert errors.EXIT_SOME_FAILED == 4
    assert errors.EXIT_FAULT == 5


def test_bad_input_is_one_line_on_standard_error_and_exit_code_2(capsys):
    assert cli.main(["train", "--epochs=0"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("cloudmask train: error: ")
    assert "epochs" in shown.err
    assert shown.err.count("\n") == 1


def test_of_ranks_that_fail_alike_the_first_one_shows_the_message(capsys, monkeypatch):
    with reserved_port() as port:
        for name, value in {**LAUNCH_OF_RANK_1, "MASTER_PORT": str(port)}.items():
            monkeypatch.setenv(name, value)
        first = RunStore(Part(0, 1, 2, 0, 2, "localhost", port), attempt=0)
        assert first.share_failure(2, "bad input").first_rank == 0
        with ThreadPoolExecutor() as pool:
            leaving = pool.submit(first.leave)  # it serves the store until the other has left, too
            assert cli.main(["train", "--epochs=0"]) == 2
            leaving.result()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("number", "code"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGUSR1", 138)])
def test_a_stop_signal_is_128_plus_its_number_and_later_ones_are_ignored(monkeypatch, number, code):
    ended = []

    def command(options):
        try:
            os.kill(os.getpid(), signal.Signals[number])
        finally:  # a second signal does not disturb the end of the run
            for later in cli.STOP_SIGNALS:
                os.kill(os.getpid(), later)
            ended.append(options.files)

    monkeypatch.setattr(check, "run", command)
    assert cli.main(["check", "a", "b"]) == code
    assert ended == [[Path("a"), Path("b")]]


def test_a_stop_signal_is_named():
    assert str(errors.Stopped(signal.SIGUSR1)) == "stopped by SIGUSR1"
