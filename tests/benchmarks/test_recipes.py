"""Trials on fewer patches, and epochs of a number of steps."""

from itertools import islice

import torch

from benchmarks.recipes import epochs_of, thinned
from cloudmask.patches.store import PatchStore


def test_thinned_store_spreads_evenly_and_keeps_a_patch_together():
    numbers = torch.arange(100.0)
    store = PatchStore(*(numbers.view(-1, 1, 1, 1) + part for part in (0, 1000)), numbers)
    kept = thinned(store, 12)
    assert kept.labels.tolist() == [0, 9, 18, 27, 36, 45, 54, 63, 72, 81, 90, 99]
    assert torch.equal(kept.refs.flatten(), kept.labels)
    assert torch.equal(kept.bts.flatten() - 1000, kept.labels)
    assert torch.equal(thinned(store, 100).labels, numbers)


def test_epochs_of_some_patches_take_each_once_before_any_again():
    numbers = torch.arange(10.0)
    store = PatchStore(*(numbers.view(-1, 1, 1, 1) + part for part in (0, 1000)), numbers)
    epochs = list(islice(epochs_of(store, 4, seed=1), 5))
    taken = [number for epoch in epochs for number in epoch.labels.tolist()]
    assert sorted(taken[:10]) == sorted(taken[10:]) == list(range(10))
    assert taken[:10] != taken[10:]
    assert all(torch.equal(epoch.bts.flatten() - 1000, epoch.labels) for epoch in epochs)
    assert next(epochs_of(store, None, seed=1)) is store
