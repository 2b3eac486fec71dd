"""Trials on fewer patches."""

import torch

from benchmarks.recipes import thinned
from cloudmask.patches.store import PatchStore


def test_thinned_store_spreads_evenly_and_keeps_a_patch_together():
    numbers = torch.arange(100.0)
    store = PatchStore(*(numbers.view(-1, 1, 1, 1) + part for part in (0, 1000)), numbers)
    kept = thinned(store, 12)
    assert kept.labels.tolist() == [0, 9, 18, 27, 36, 45, 54, 63, 72, 81, 90, 99]
    assert torch.equal(kept.refs.flatten(), kept.labels)
    assert torch.equal(kept.bts.flatten() - 1000, kept.labels)
    assert torch.equal(thinned(store, 100).labels, numbers)
