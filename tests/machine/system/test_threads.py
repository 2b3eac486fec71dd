"""Torch's threads on a CPU follow the quota of CPU time, in every process that computes."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist

from cloudmask.cli import main
from cloudmask.distributed.process_group import initialise_process_group
from cloudmask.inference.masker import Masker, NetworkOptions
from cloudmask.machine.system import cgroups
from cloudmask.machine.system.threads import limit_threads
from cloudmask.model.card import Card
from cloudmask.model.unet import UNet
from cloudmask.model.weights import save_weights
from tests.scene_files import product_name


@pytest.fixture(autouse=True)
def quota_of_one_core(monkeypatch):
    """Torch has three threads, and the cgroup grants one core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    monkeypatch.setattr(cgroups, "core_quota", lambda: 1.0)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(("cores", "threads"), [(None, 1), (2, 2), (8, 3), (0, 1)])
def test_threads_are_at_most_the_cores_and_never_more_than_torch_would_take(cores, threads):
    limit_threads(cores)
    assert torch.get_num_threads() == threads


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "weights_0.safetensors"
    save_weights(path, UNet(widths=(1, 1, 1, 1)), Card())
    return path


def test_masking_scenes_keeps_to_the_quota(weights):
    Masker(NetworkOptions(weights))
    assert torch.get_num_threads() == 1


def test_evaluating_masks_keeps_to_the_quota(weights, tmp_path):
    (tmp_path / product_name(0)).write_bytes(b"no scene")
    assert main(["evaluate", f"--weights={weights}", f"--scenes={tmp_path}"]) != 0
    assert torch.get_num_threads() == 1


def test_a_rank_keeps_to_the_quota_whoever_started_it(monkeypatch):
    for name in ("RANK", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    initialise_process_group("cpu")
    dist.destroy_process_group()
    assert torch.get_num_threads() == 1
