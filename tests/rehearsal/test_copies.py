"""What arrives on a GPU is what was staged, although copies are made as late as they may be."""

from __future__ import annotations

import json

import pytest

from tests.scene_files import product_name, write_scene


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Five scenes, each of one value of its own."""
    folder = tmp_path_factory.mktemp("scenes")
    for number in range(5):
        path = folder / "training" / product_name(number)
        write_scene(path, refs=0.1 * number, bts=260.0 + number, bayes=number % 2)
    return folder


def staged(rehearsal, scenes, *flags):
    done, ledger = rehearsal.run("-m", "tests.rehearsal.staged_late", scenes, *flags)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), ledger


def test_what_arrives_on_the_device_is_what_was_staged(rehearsal, scenes):
    arrived, ledger = staged(rehearsal, scenes)
    assert arrived == {"staged": True, "batches": True}
    assert ledger.anywhere("hazard") == []
    assert ledger.anywhere("forked") == []


def test_a_buffer_that_is_used_again_too_early_would_be_seen(rehearsal, scenes):
    arrived, _ = staged(rehearsal, scenes, "--without-waiting")
    assert arrived == {"staged": False, "batches": True}
