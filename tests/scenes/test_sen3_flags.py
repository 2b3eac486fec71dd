"""Flags of products: what the bits of the format document mean for masks."""

import numpy as np

from cloudmask.scenes.scene import NOT_COMPUTED
from cloudmask.scenes.sen3_flags import bayesian_label, pixel_flags, summary_mask


def test_the_bayesian_mask_is_not_computed_where_spare_bits_are_set():
    bayes = np.array([[0, 1, 2, 4, 8, 15, 16, 128, 255, 0b1000_0001]], np.uint8)
    assert bayesian_label(bayes).tolist() == [[0, 1, 1, 1, 1, 1] + [NOT_COMPUTED] * 4]
    assert bayesian_label(bayes[:, 6:]) is None


def test_summary_is_bit_14_of_confidence_alone():
    confidence = np.array([[0, 1 << 14, 0xFFFF, 0xFFFF ^ 1 << 14]], np.uint16)
    assert summary_mask(confidence).tolist() == [[0, 1, 1, 0]]


def test_flags_are_named_and_none_is_set_where_nothing_was_measured():
    unfilled, cosmetic, land, twilight = 1 << 5, 1 << 8, 1 << 3, 1 << 11
    confidence = np.array([[cosmetic | land, twilight, twilight | unfilled]], np.uint16)
    flags = pixel_flags(confidence)
    assert {name for name, mask in flags.items() if mask.any()} == {"cosmetic", "land", "twilight"}
    assert flags["twilight"].tolist() == [[False, True, False]]
