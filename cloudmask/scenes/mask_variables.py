"""What a mask holds: probability, mask, pixel flags and quality level, with their attributes.

`mask_variables` works pixel by pixel, on NumPy as on dask arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from cloudmask.scenes.slstr import REFLECTANCES

# A pixel is cloud where its probability is above this, as in the reference.
CLOUD_PROBABILITY = 0.5
# Of the best quality level: clear with probability 0.9, as the SST community asks.
BEST_CLOUD_PROBABILITY = 0.1

FILL_MASK, FILL_PROBABILITY = np.int8(-1), np.uint8(255)
# Stored probabilities are rounded up to multiples of this, so that comparing them with a threshold
# of two decimals gives the same mask as before.
PROBABILITY_SCALE = 0.005
# The network is less accurate this near to pixels without measurements, km.
EDGE_PIXELS = 15

NOT_MEASURED, CHANNEL_MISSING, NEAR_EDGE = "not_measured", "channel_missing", "near_edge"
# By name, and by their names in `Scene.flags`.
FLAG_BITS = {
    name: 1 << bit
    for bit, name in enumerate(
        [
            *(NOT_MEASURED, CHANNEL_MISSING, NEAR_EDGE, "saturated", "cosmetic", "land", "snow"),
            *("day", "twilight", "sun_glint", "coastline", "inland_water"),
        ]
    )
}
ALWAYS_KNOWN = (NOT_MEASURED, CHANNEL_MISSING, NEAR_EDGE)
QUALITY_LEVELS = {
    "no_data": "nothing was measured",
    "cloud": "probability of cloud above the threshold",
    "worst": "clear, but a channel is missing or saturated",
    "low": f"clear, but cosmetic or within {EDGE_PIXELS} pixels of an edge",
    "acceptable": f"clear, probability of cloud above {BEST_CLOUD_PROBABILITY}",
    "best": f"clear, probability of cloud at most {BEST_CLOUD_PROBABILITY}",
}

Array = Any  # of NumPy or dask


@dataclass(frozen=True)
class Variable:
    """An array on the scene's grid (rows, columns), and how it is stored.

    Attributes:
        values: as they are meant, NaN or `fill` where missing.
        fill: of the stored values; None without.
        scale: stored as uint8 times this, rounded up; None as they are.
    """

    values: Array
    attributes: Mapping[str, Any] = field(default_factory=dict)
    fill: Any = None
    scale: float | None = None


def flag_bits(
    missing: NDArray[np.bool_],
    flags: Mapping[str, NDArray[np.bool_]],
    inside: NDArray[np.bool_] | None = None,
) -> Array:
    """The sum of the `FLAG_BITS` of each pixel, (rows, columns) uint16.

    Args:
        missing: channels that are missing, (rows, columns, 9).
        flags: masks by name; names that are no flag of masks are left out.
        inside: see `near_edge`.
    """
    nothing = missing.all(axis=-1)
    bits = np.where(nothing, FLAG_BITS[NOT_MEASURED], 0).astype(np.uint16)
    bits[missing.any(axis=-1) & ~nothing] |= FLAG_BITS[CHANNEL_MISSING]
    bits[near_edge(missing, inside) & ~nothing] |= FLAG_BITS[NEAR_EDGE]
    for name in known_flags(flags):
        bits[flags[name]] |= FLAG_BITS[name]
    return bits


def near_edge(missing: NDArray[np.bool_], inside: NDArray[np.bool_] | None = None) -> Array:
    """Within `EDGE_PIXELS` of the image's end or of a pixel that lacks a brightness temperature.

    `inside` is False outside the image, for parts of one that reach beyond it.
    """
    holes = missing[..., REFLECTANCES:].any(axis=-1)
    if inside is not None:
        holes |= ~inside
    size = 2 * EDGE_PIXELS + 1
    return maximum_filter(holes.view(np.uint8), size, mode="constant", cval=1) > 0


def known_flags(flags: Mapping[str, Any]) -> list[str]:
    """Those of a scene's flags that masks have, in the order of their bits."""
    return [name for name in FLAG_BITS if name in flags]


def mask_variables(
    probability: Array,
    bits: Array,
    flags: Mapping[str, Any],
    threshold: float = CLOUD_PROBABILITY,
) -> dict[str, Variable]:
    """The variables of a mask by name.

    Args:
        probability: of cloud, (rows, columns) float32, NaN where nothing was measured.
        bits: see `flag_bits`.
        flags: those that the input knows, by name.
        threshold: a pixel is cloud where its probability is above it.
    """
    known = [*ALWAYS_KNOWN, *known_flags(flags)]
    masks = np.array([FLAG_BITS[name] for name in known], np.uint16)
    levels = np.arange(len(QUALITY_LEVELS), dtype=np.int8)
    return {
        "cloud_probability": Variable(
            probability,
            {
                "long_name": "probability that the Bayesian screen would flag cloud",
                "units": "1",
                "ancillary_variables": "cloud_mask pixel_flags quality_level",
            },
            FILL_PROBABILITY,
            PROBABILITY_SCALE,
        ),
        "cloud_mask": Variable(
            cloud_mask(probability, threshold),
            {
                "long_name": f"cloud mask, probability above {threshold:g}",
                "standard_name": "cloud_binary_mask",
                "units": "1",
                "flag_values": np.array([0, 1], np.int8),
                "flag_meanings": "clear cloud",
                "ancillary_variables": "pixel_flags quality_level",
            },
            FILL_MASK,
        ),
        "pixel_flags": Variable(
            bits,
            {
                "long_name": "what is known of the pixel; flags that are not listed are unknown",
                "standard_name": "status_flag",
                "flag_masks": masks,
                "flag_meanings": " ".join(known),
            },
        ),
        "quality_level": Variable(
            quality_level(probability, bits, threshold),
            {
                "long_name": "quality level of the pixel as clear sky, 0 to 5 as in GHRSST",
                "standard_name": "quality_flag",
                "flag_values": levels,
                "flag_meanings": " ".join(QUALITY_LEVELS),
                "comment": "; ".join(
                    f"{level} {meaning}" for level, meaning in enumerate(QUALITY_LEVELS.values())
                ),
            },
        ),
    }


def is_cloud(probability: Array, threshold: float = CLOUD_PROBABILITY) -> Array:
    """Where the probability is above the threshold; False where it is NaN."""
    return probability > np.float32(threshold)


def cloud_mask(probability: Array, threshold: float) -> Array:
    """1 cloud, 0 clear, `FILL_MASK` where nothing was measured; int8."""
    cloud = is_cloud(probability, threshold).astype(np.int8)
    return np.where(np.isnan(probability), FILL_MASK, cloud)


def quality_level(probability: Array, bits: Array, threshold: float) -> Array:
    """The index of each pixel's `QUALITY_LEVELS`; int8."""

    def flagged(*names: str) -> Array:
        return (bits & np.uint16(sum(FLAG_BITS[name] for name in names))) > 0

    level = np.where(probability > np.float32(BEST_CLOUD_PROBABILITY), np.int8(4), np.int8(5))
    level = np.where(flagged("cosmetic", NEAR_EDGE), np.int8(3), level)
    level = np.where(flagged("saturated", CHANNEL_MISSING), np.int8(2), level)
    level = np.where(is_cloud(probability, threshold), np.int8(1), level)
    return np.where(np.isnan(probability), np.int8(0), level)


def packed_probability(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Probability in units of `PROBABILITY_SCALE`, rounded up; `FILL_PROBABILITY` for NaN."""
    missing = np.isnan(probability)
    units = np.ceil(np.where(missing, 0, probability).astype(np.float64) / PROBABILITY_SCALE - 1e-6)
    return np.where(missing, FILL_PROBABILITY, units.astype(np.uint8))
