"""Flags of SLSTR Level-1 products: the Bayesian mask, the summary mask, and what a pixel is.

Bits: "Product Data Format Specification - SLSTR Level 1 Products", S3IPF.PDS.005.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudmask.scenes.scene import NOT_COMPUTED, Mask

# bayes_in: single and dual view, low and moderate threshold; the other bits are spare, and set
# where the mask was not computed (255).
BAYESIAN_BITS, SPARE_BITS = 0b0000_1111, 0b1111_0000

# confidence_in, by the names that masks are given.
SUMMARY_CLOUD = 1 << 14
UNFILLED = 1 << 5
CONFIDENCE_BITS = {
    "coastline": 1 << 0,
    "ocean": 1 << 1,
    "tidal": 1 << 2,
    "land": 1 << 3,
    "inland_water": 1 << 4,
    "cosmetic": 1 << 8,
    "day": 1 << 10,
    "twilight": 1 << 11,
    "sun_glint": 1 << 12,
    "snow": 1 << 13,
}

# *_exception_*, of each channel.
SATURATED, EXCEPTION_UNFILLED = 1 << 4, 1 << 7


def bayesian_label(bayes: NDArray[np.integer[Any]]) -> NDArray[np.uint8] | None:
    """1 where `bayes_in` flags cloud, `NOT_COMPUTED` where it was not; None if it nowhere was."""
    computed = (bayes & SPARE_BITS) == 0
    if not computed.any():
        return None
    label: NDArray[np.uint8] = np.where(computed, (bayes & BAYESIAN_BITS) > 0, NOT_COMPUTED).astype(
        np.uint8
    )
    return label


def summary_mask(confidence: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
    """1 where the threshold tests of the product together call cloud (`summary_cloud`)."""
    return ((confidence & SUMMARY_CLOUD) > 0).astype(np.uint8)


def pixel_flags(confidence: NDArray[np.integer[Any]]) -> dict[str, Mask]:
    """The masks of `CONFIDENCE_BITS` by name; False where nothing was measured."""
    filled = (confidence & UNFILLED) == 0
    return {name: ((confidence & bit) > 0) & filled for name, bit in CONFIDENCE_BITS.items()}
