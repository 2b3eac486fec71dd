"""The measures of training with holes."""

import numpy as np
import pytest

from benchmarks.holes import HOLE, HOLES, Counts, add_margins, evaluate, squares
from tests.inference.infer_command import cold_is_cloud
from tests.scene_files import product_name, write_scene
from tests.science.networks import FLOAT32

SHAPE = (200, 300)


def test_squares_are_those_of_their_seed_and_away_from_the_border():
    found = squares(SHAPE, seed=1)
    np.testing.assert_array_equal(found, squares(SHAPE, seed=1))
    assert (found != squares(SHAPE, seed=2)).any()
    assert HOLE**2 <= found.sum() <= HOLES * HOLE**2
    assert not found[:60].any()
    assert not found[:, -60:].any()


def test_margins_count_the_distance_to_the_end_of_the_scene_and_to_what_is_unseen():
    """A hole of one pixel in the middle, all called cloud, which is right in the left half."""
    unseen = np.zeros((101, 101), bool)
    unseen[50, 50] = True
    cloud, truth = np.ones_like(unseen), np.zeros_like(unseen)
    truth[:, :50] = True
    counts = Counts()
    add_margins(counts, "holes", cloud, truth, unseen)
    pixels = {name: each[0] for name, each in counts._counts.items()}
    assert sum(pixels.values()) == 101 * 101 - 1
    inner = 101 - 2 * 15
    around = sum(x * x + y * y <= 15**2 for x in range(-15, 16) for y in range(-15, 16))
    assert pixels["holes over 15 px"] == inner * inner - around
    shares = counts.accuracies()
    assert shares["holes over 15 px"] == pytest.approx(0.5, abs=0.01)
    assert shares["holes 0-5 px, called cloud"] == 1


def test_holes_are_judged_by_what_the_network_makes_of_them(tmp_path):
    """The network sees S9 alone: without S7 nothing changes, and clear sea stays clear."""

    class Trained:
        evaluation_model, precision = cold_is_cloud(), FLOAT32

    scene = write_scene(tmp_path / product_name(0), truth=0)
    found = evaluate(Trained(), [scene])
    assert found["measured"] == found["squares"] == found["squares without S7"] == 1
    assert found["all-channel holes 0-5 px, called cloud"] == 0
    assert not any(name.startswith("not measured") for name in found)
