"""The variables of a launcher are taken as a whole, or refused in a sentence."""

from __future__ import annotations

import pytest

from cloudmask.cli import main
from cloudmask.distributed.launcher import COUNTS, Launch, read_launch
from cloudmask.errors import InputError
from tests.launches import LAUNCH_OF_RANK_1

ONE = {
    **{"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"},
    **{"MASTER_ADDR": "localhost", "MASTER_PORT": "29511"},
}


def test_a_complete_set_is_read():
    assert read_launch(LAUNCH_OF_RANK_1) == Launch(1, 2, 1, 2)


def test_no_launcher_is_no_rank():
    assert read_launch({"MASTER_ADDR": "node-a", "MASTER_PORT": "1"}) is None


@pytest.mark.parametrize("name", ONE)
def test_an_incomplete_set_is_refused_by_name(name):
    rest = {variable: value for variable, value in ONE.items() if variable != name}
    with pytest.raises(InputError, match=rf"is set but {name} not: unset "):
        read_launch(rest)


@pytest.mark.parametrize("name", [*COUNTS, "MASTER_PORT"])
@pytest.mark.parametrize("value", ["", "abc", "-1", "1.5", "\u0662"])
def test_what_is_no_number_is_refused_by_name(name, value):
    with pytest.raises(InputError, match=f"{name} is {value or 'empty'}"):
        read_launch({**ONE, name: value})


@pytest.mark.parametrize(
    "contradiction",
    [{"RANK": "1"}, {"LOCAL_RANK": "1"}, {"LOCAL_WORLD_SIZE": "2"}, {"WORLD_SIZE": "0"}],
)
def test_a_contradiction_is_refused(contradiction):
    with pytest.raises(InputError, match=r" is \d but \w+ is \d: unset"):
        read_launch({**ONE, **contradiction})


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"RANK": "abc"}, "RANK is set but WORLD_SIZE and LOCAL_RANK"),
        ({"RANK": "1"}, "RANK is set but WORLD_SIZE and LOCAL_RANK"),
        ({**ONE, "RANK": ""}, "RANK is empty"),
        (ONE, "WORLD_SIZE is 1 but 1 node x 16 processes are 16: unset RANK"),
    ],
)
def test_train_refuses_a_bad_set_in_one_sentence(monkeypatch, capsys, variables, message):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(["train", "--processes-per-node=16"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"cloudmask train: error: {message}")
    assert shown.count("\n") == 1


@pytest.mark.parametrize("variables", [{"RANK": "1"}, {"RANK": "abc"}, LAUNCH_OF_RANK_1])
@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "nowhere.txt"],
        ["fetch", "ds1", "--dest=data", "--limit=0"],
        ["infer", "--weights=nowhere.safetensors", "--scenes=nowhere", "--output=masks"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_other_commands_do_not_read_it(monkeypatch, capsys, tmp_path, variables, arguments):
    monkeypatch.chdir(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith(f"cloudmask {arguments[0]}: error: ")
