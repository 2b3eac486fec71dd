"""Program of `test_copies.py`: stage scenes, and take batches, on a GPU whose copies come late.

    python -m tests.rehearsal.staged_late DATADIR [--without-waiting]

Prints JSON: whether what lies on the device is what was staged, and what the batches were.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from cloudmask.patches.staging import Staging
from cloudmask.patches.staging_buffers import StagingRing
from cloudmask.patches.store import PatchStore, Share, StorePlan, _selected
from cloudmask.scenes.layout import list_scenes

GPU = torch.device("cuda", 0)
PATCHES_PER_SCENE = 20
WORKERS = 1  # two slots for all scenes


def bytes_of(tensor: Tensor) -> Tensor:
    """The bytes of a tensor, which for one on the device lie in memory of the host."""
    memory = (ctypes.c_char * tensor.nbytes).from_address(tensor.data_ptr())
    return torch.frombuffer(memory, dtype=torch.uint8)


def equal(given: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    """Whether tensors on the device have these values."""
    torch.cuda.synchronize()
    return all(
        torch.equal(bytes_of(a), bytes_of(b.contiguous()))
        for a, b in zip(given, expected, strict=True)
    )


def stage(scenes: Sequence[Path], kind: str) -> PatchStore:
    """A store of all patches of the scenes."""
    plan = StorePlan(scenes, Share(0, len(scenes) * PATCHES_PER_SCENE), 256, torch.float16)
    with Staging([plan], kind, GPU, WORKERS, Path("/tmp")) as staging:
        (store,) = staging.fill()
        torch.cuda.synchronize()  # as the barrier does that ends staging
    return store


def acquire_without_waiting(ring: StagingRing) -> int | None:
    """The mutation: a slot is used again although its copy may not have been made."""
    return ring._free.popleft()[0] if ring._free else None


def main(datadir: str, *flags: str) -> None:
    """Stage, compare, and print."""
    torch.cuda.set_device(GPU)
    scenes = list_scenes(Path(datadir), "training")
    host = stage(scenes, "host")
    if "--without-waiting" in flags:
        StagingRing.acquire = acquire_without_waiting  # type: ignore[method-assign]
    staged = equal(stage(scenes, "device").tensors, host.tensors)

    order = torch.randperm(len(host), generator=torch.Generator().manual_seed(1))
    batches = [
        (indices, [_selected(each, indices, GPU) for each in host.tensors])
        for indices in order.split(4)
    ]
    arrived = [
        equal(batch, [each.index_select(0, indices) for each in host.tensors])
        for indices, batch in batches
    ]
    print(json.dumps({"staged": staged, "batches": all(arrived)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
