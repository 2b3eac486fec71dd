"""The variables of a launcher are taken as a whole, or refused in a sentence."""

from __future__ import annotations

import pytest

from cloudmask.cli import main
from cloudmask.distributed.launcher import COUNTS, Launch, rank_variables, read_launch
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


TASK_9 = {
    **{"SLURM_STEP_NUM_TASKS": "12", "SLURM_STEP_NUM_NODES": "3", "SLURM_PROCID": "9"},
    **{"SLURM_NODEID": "2", "SLURM_LOCALID": "0", "SLURM_STEP_TASKS_PER_NODE": "5,4,3"},
    **{"SLURM_STEP_NODELIST": "dgx-[07-09]", "SLURM_JOB_ID": "120042", "SLURM_STEP_ID": "1"},
}


def test_a_task_of_a_slurm_step_with_several_tasks_a_node_is_a_rank():
    variables = rank_variables(TASK_9)
    assert read_launch(variables) == Launch(9, 12, 0, 3)
    assert (variables["MASTER_ADDR"], variables["MASTER_PORT"]) == ("dgx-07", "20043")
    own = {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "7"}
    assert rank_variables({**TASK_9, **own}).items() > own.items()


@pytest.mark.parametrize(
    ("text", "local_size"), [("4(x3)", 4), ("3(x2),6", 6), ("6,3(x2)", 3), ("4,4,4", 4)]
)
def test_the_tasks_of_the_node_are_counted(text, local_size):
    variables = rank_variables({**TASK_9, "SLURM_STEP_TASKS_PER_NODE": text})
    assert variables["LOCAL_WORLD_SIZE"] == str(local_size)


@pytest.mark.parametrize(
    ("hosts", "first"),
    [("dgx-[07-09,12]", "dgx-07"), ("a1,b2,c3", "a1"), ("n[3,5,9]", "n3"), ("x[1],y[2-3]", "x1")],
)
def test_ranks_meet_on_the_first_host(hosts, first):
    assert rank_variables({**TASK_9, "SLURM_STEP_NODELIST": hosts})["MASTER_ADDR"] == first


def test_ranks_of_one_node_meet_on_loopback():
    one = {"SLURM_STEP_NUM_NODES": "1", "SLURM_NODEID": "0", "SLURM_STEP_TASKS_PER_NODE": "12"}
    assert rank_variables({**TASK_9, **one})["MASTER_ADDR"] == "localhost"


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"SLURM_PROCID": "0", "SLURM_NTASKS": "16"},  # of a batch script
        {**TASK_9, "SLURM_STEP_NUM_TASKS": "3"},  # one task per node, which starts the ranks
        {**TASK_9, "SLURM_PROCID": "x"},
        {**TASK_9, "RANK": "0"},
    ],
)
def test_other_processes_are_no_ranks_of_slurm(variables):
    assert rank_variables(variables) == {}


def test_another_number_of_tasks_than_of_processes_is_refused(monkeypatch, capsys):
    for name, value in {**TASK_9, "SLURM_PROCID": "0", "SLURM_NODEID": "0"}.items():
        monkeypatch.setenv(name, value)
    for name in (*COUNTS, "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")  # restored after the test, in which `train` sets them
        monkeypatch.delenv(name)
    assert main(["train", "--processes-per-node=16"]) == 2
    assert capsys.readouterr().err == (
        "cloudmask train: error: srun started 12 tasks but 1 node x 16 processes are 16: start one "
        "task per process, or one per node (--ntasks-per-node=1)\n"
    )
