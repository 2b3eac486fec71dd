"""The variables of a launcher are taken as a whole, or refused in a sentence."""

from __future__ import annotations

import pytest

from cloudmask.cli import main
from cloudmask.distributed.launcher import (
    COUNTS,
    Part,
    find_part,
    interface_towards,
    started_rank,
)
from cloudmask.errors import InputError
from tests.launches import LAUNCH_OF_RANK_1

ONE = {
    **{"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"},
    **{"MASTER_ADDR": "localhost", "MASTER_PORT": "29511"},
}


def test_a_complete_set_is_read():
    assert started_rank(LAUNCH_OF_RANK_1) == Part(1, 1, 2, 1, 2, "localhost", 29511)


def test_no_launcher_is_no_rank():
    alone = {"MASTER_ADDR": "node-a", "MASTER_PORT": "1"}
    assert started_rank(alone) is None
    assert find_part(1, 4, alone) == Part(0, 4, 4, 0, 4)


@pytest.mark.parametrize("name", ONE)
def test_an_incomplete_set_is_refused_by_name(name):
    rest = {variable: value for variable, value in ONE.items() if variable != name}
    with pytest.raises(InputError, match=rf"is set but {name} not: unset "):
        started_rank(rest)


@pytest.mark.parametrize("name", [*COUNTS, "MASTER_PORT"])
@pytest.mark.parametrize("value", ["", "abc", "-1", "1.5", "\u0662"])
def test_what_is_no_number_is_refused_by_name(name, value):
    with pytest.raises(InputError, match=f"{name} is {value or 'empty'}"):
        started_rank({**ONE, name: value})


@pytest.mark.parametrize(
    "contradiction",
    [{"RANK": "1"}, {"LOCAL_RANK": "1"}, {"LOCAL_WORLD_SIZE": "2"}, {"WORLD_SIZE": "0"}],
)
def test_a_contradiction_is_refused(contradiction):
    with pytest.raises(InputError, match=r" is \d but \w+ is \d: unset"):
        started_rank({**ONE, **contradiction})


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
    assert started_rank(TASK_9) == Part(9, 1, 12, 0, 3, "dgx-07", 20043)
    assert find_part(1, 1, TASK_9) == find_part(3, 4, TASK_9) == started_rank(TASK_9)
    own = {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "7"}
    assert started_rank({**TASK_9, **own}) == Part(9, 1, 12, 0, 3, "10.0.0.1", 7)


@pytest.mark.parametrize(
    ("text", "local_size"), [("4(x3)", 4), ("3(x2),6", 6), ("6,3(x2)", 3), ("4,4,4", 4)]
)
def test_the_tasks_of_the_node_are_counted(text, local_size):
    part = started_rank({**TASK_9, "SLURM_STEP_TASKS_PER_NODE": text})
    assert part.local_size == local_size


@pytest.mark.parametrize(
    ("hosts", "first"),
    [("dgx-[07-09,12]", "dgx-07"), ("a1,b2,c3", "a1"), ("n[3,5,9]", "n3"), ("x[1],y[2-3]", "x1")],
)
def test_ranks_meet_on_the_first_host(hosts, first):
    assert started_rank({**TASK_9, "SLURM_STEP_NODELIST": hosts}).address == first


def test_ranks_of_one_node_meet_on_loopback():
    one = {"SLURM_STEP_NUM_NODES": "1", "SLURM_NODEID": "0", "SLURM_STEP_TASKS_PER_NODE": "12"}
    assert started_rank({**TASK_9, **one}).address == "localhost"


ONE_A_NODE = {**TASK_9, "SLURM_STEP_NUM_TASKS": "3", "SLURM_PROCID": "2"}


def test_one_task_a_node_is_the_supervisor_of_the_ranks_of_its_node():
    assert find_part(3, 16, ONE_A_NODE) == Part(32, 16, 48, 0, 16, "dgx-07", 20043)
    assert find_part(1, 1, ONE_A_NODE) == Part(2, 1, 3, 0, 1, "dgx-07", 20043)


def test_another_number_of_nodes_than_of_tasks_is_refused():
    with pytest.raises(InputError, match="srun started 3 tasks but 2 nodes x 16 processes are 32"):
        find_part(2, 16, ONE_A_NODE)


def test_a_node_by_hand_has_a_number_and_knows_the_first():
    by_hand = {"MASTER_ADDR": "node-a", "NODE_RANK": "1"}
    assert find_part(2, 16, by_hand) == Part(16, 16, 32, 0, 16, "node-a", 29400)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "nodes is 2 but MASTER_ADDR and NODE_RANK not set: start with srun or torchrun"),
        ({"MASTER_ADDR": "a"}, "nodes is 2 but NODE_RANK not set"),
        ({"MASTER_ADDR": "a", "NODE_RANK": "2"}, "NODE_RANK is 2: it must be a number from 0 to 1"),
        ({"MASTER_ADDR": "a", "NODE_RANK": "0", "MASTER_PORT": "ssh"}, "MASTER_PORT is ssh"),
    ],
)
def test_a_node_by_hand_that_cannot_be_identified_is_refused(variables, message):
    with pytest.raises(InputError, match=message):
        find_part(2, 16, variables)


MPI = {
    **{"OMPI_COMM_WORLD_RANK": "5", "OMPI_COMM_WORLD_SIZE": "8", "PMIX_NAMESPACE": "a-job"},
    **{"OMPI_COMM_WORLD_LOCAL_RANK": "1", "OMPI_COMM_WORLD_LOCAL_SIZE": "4"},
}


def test_a_process_of_open_mpi_is_a_rank():
    part = started_rank({**MPI, "MASTER_ADDR": "node-a"})
    assert part == Part(5, 1, 8, 1, 4, "node-a", part.port)
    assert 20000 <= part.port < 30000
    assert started_rank({**MPI, "OMPI_COMM_WORLD_LOCAL_SIZE": "8"}).address == "localhost"
    with pytest.raises(InputError, match="MASTER_ADDR not set: set MASTER_ADDR to the first node"):
        started_rank(MPI)
    assert started_rank({**MPI, "OMPI_COMM_WORLD_SIZE": "1"}) is None


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"SLURM_PROCID": "0", "SLURM_NTASKS": "16"},  # of a batch script
        ONE_A_NODE,
        {**TASK_9, "SLURM_PROCID": "x"},
    ],
)
def test_other_processes_are_no_ranks_of_slurm(variables):
    assert started_rank(variables) is None


def test_another_number_of_tasks_than_of_processes_is_refused():
    with pytest.raises(InputError) as refused:
        find_part(1, 16, TASK_9)
    assert str(refused.value) == (
        "srun started 12 tasks but 1 node x 16 processes are 16: start one task per process, or "
        "one per node (--ntasks-per-node=1)"
    )


def test_loopback_is_left_to_gloo():
    assert interface_towards("127.0.0.1", 1) is None


def test_a_first_node_without_an_address_is_refused():
    with pytest.raises(InputError, match=r"MASTER_ADDR no-such-host\.invalid has no address"):
        interface_towards("no-such-host.invalid", 1)
