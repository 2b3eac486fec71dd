"""The GPU of a rank: by its number on the node, or the only one that its task sees."""

from __future__ import annotations

from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import TCPStore

from cloudmask.distributed import process_group
from cloudmask.distributed.heartbeat import FOLDER_VARIABLE, RESTARTS_VARIABLE
from cloudmask.distributed.launcher import LAUNCHED_TASKS
from cloudmask.errors import InputError


@pytest.fixture
def gpus(monkeypatch):
    """A function that shows so many GPUs of compute capability 9.0; returns those that are set."""
    chosen = []

    def show(count):
        answers = {
            "is_available": True,
            "device_count": count,
            "get_device_name": "GPU",
            "get_device_capability": (9, 0),
            "get_arch_list": ["sm_90"],
        }
        for name, answer in answers.items():
            monkeypatch.setattr(torch.cuda, name, lambda *_, answer=answer: answer)
        monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
        return chosen

    for name in LAUNCHED_TASKS:
        monkeypatch.delenv(name, raising=False)
    return show


def test_a_rank_takes_the_gpu_of_its_number(gpus):
    chosen = gpus(16)
    assert process_group._device("auto", 5, 16) == torch.device("cuda", 5)
    assert chosen == [5]


@pytest.mark.parametrize("name", LAUNCHED_TASKS)
def test_a_task_that_sees_one_gpu_takes_it(gpus, monkeypatch, name):
    chosen = gpus(1)
    monkeypatch.setenv(name, "16")
    assert process_group._device("auto", 5, 16) == torch.device("cuda", 0)
    assert chosen == [0]


@pytest.mark.parametrize(("tasks", "count"), [(None, 1), ("16", 2)])
def test_fewer_gpus_than_processes_are_refused(gpus, monkeypatch, tasks, count):
    gpus(count)
    if tasks:
        monkeypatch.setenv("SLURM_STEP_NUM_TASKS", tasks)
    with pytest.raises(InputError, match=r"16 processes on this node but .* use one process per"):
        process_group._device("auto", 5, 16)


@pytest.mark.parametrize(
    ("available", "kind", "expected"),
    [(False, "auto", "cpu"), (True, "auto", "cuda"), (True, "cpu", "cpu"), (True, "cuda", "cuda")],
)
def test_auto_is_a_gpu_where_torch_sees_one(monkeypatch, available, kind, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert process_group.choose_device(kind) == torch.device(expected)


@pytest.mark.parametrize(
    ("build", "reason"), [(None, "it is built for CPUs"), ("13.0", "see nvidia-smi")]
)
def test_a_gpu_that_is_wanted_but_not_seen_is_refused_with_the_reason(monkeypatch, build, reason):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", build)
    with pytest.raises(
        InputError, match=f"device is cuda but torch .* sees no GPU on .*: {reason}"
    ):
        process_group.choose_device("cuda")


def test_ranks_of_several_supervisors_first_wait_as_long_as_for_the_rendezvous(
    monkeypatch, tmp_path
):
    server = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    variables = {
        **{"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"},
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(server.port)},
        **{FOLDER_VARIABLE: str(tmp_path), RESTARTS_VARIABLE: "0"},
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(process_group, "limit_threads", lambda cores: None)
    process_group.initialise_process_group("cpu", 77)
    try:
        group = dist.group.WORLD._get_backend(torch.device("cpu"))
        assert group.options._timeout == timedelta(seconds=77)
    finally:
        process_group.destroy_process_group()
