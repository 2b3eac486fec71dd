"""What arrives on the device is what was staged, although copies happen as late as they can."""

from __future__ import annotations

import pytest

from tests.scene_files import product_name, write_scene

SCENES = 6  # three times the slots of one worker
STAGE = """
import sys
from pathlib import Path
import torch
from cloudmask.patches.staging import Staging
from cloudmask.patches.staging_buffers import StagingRing
from cloudmask.patches.store import Share, StorePlan

def acquire_without_waiting(ring):
    return ring._free.popleft()[0] if ring._free else None

folder, mutation = sys.argv[1:]
if mutation == "without waiting":
    StagingRing.acquire = acquire_without_waiting
scenes = sorted(Path(folder).iterdir())
plan = StorePlan(scenes, Share(0, 20 * len(scenes)), 256, torch.float16)
stores = []
for kind in ("host", "device"):
    with Staging([plan], kind, torch.device("cuda", 0), 1, Path(folder)) as staging:
        (store,) = staging.fill()
        torch.cuda.synchronize()
    stores.append([tensor.cpu() for tensor in store.tensors])
print(all(torch.equal(*pair) for pair in zip(*stores)))
"""


@pytest.mark.parametrize(("mutation", "equal"), [("", "True"), ("without waiting", "False")])
def test_patches_arrive_as_staged_unless_buffers_return_too_early(
    rehearsal, tmp_path, mutation, equal
):
    for number in range(SCENES):
        write_scene(tmp_path / product_name(number), bts=220.0 + 10 * number)
    done, ledger = rehearsal.run("-c", STAGE, tmp_path, mutation)
    assert done.stdout.strip() == equal, done.stdout + done.stderr
    assert ledger.anywhere("forked") == []
