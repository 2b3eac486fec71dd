"""The arrays of one scene: channels on the 1 km grid, normalised for the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudmask.scenes.baseline import View
from cloudmask.scenes.missing import (
    missing_values,
    zero_missing_reflectances,
    zero_missing_temperatures,
)
from cloudmask.scenes.slstr import (
    REFLECTANCE_OFFSET,
    REFLECTANCES,
    TEMPERATURE_OFFSET_KELVIN,
    TEMPERATURE_SCALE_KELVIN,
)

Mask = NDArray[np.bool_]

NOT_COMPUTED = 255


@dataclass(frozen=True)
class Scene:
    """One scene on its 1 km grid, (rows, columns); `make_scene` makes it from a file's values.

    Attributes:
        channels: (rows, columns, 9) float32: reflectances S1-S6, brightness temperatures S7-S9 in
            kelvin; 0 where missing.
        missing: (rows, columns, 9): the channels that are missing.
        label: (rows, columns) uint8: 1 where the Bayesian mask flags cloud, `NOT_COMPUTED` where it
            was not computed; None without that mask.
        summary: (rows, columns) uint8: 1 where the threshold tests flag cloud; None without them.
        geolocation: latitude in degrees north and longitude in degrees east, (rows, columns)
            float32 each; None if the file has none.
        flags: (rows, columns) masks by name, as far as the file has them: see `sen3_flags`.
        baseline: number of the processing baseline, if known. Reflectances of all baselines are on
            one scale, `baseline.REFLECTANCE_SCALE`.
        view: of the instrument.
        notes: what a reader of the file should know, each a short sentence without full stop.
    """

    channels: NDArray[np.float32]
    missing: Mask
    label: NDArray[np.uint8] | None = None
    summary: NDArray[np.uint8] | None = None
    geolocation: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
    flags: Mapping[str, Mask] = field(default_factory=dict)
    baseline: int | None = None
    view: View = "nadir"
    notes: tuple[str, ...] = ()

    @property
    def not_measured(self) -> Mask:
        """Pixels (rows, columns) without a measurement in any channel."""
        nothing: Mask = np.all(self.missing, axis=-1)
        return nothing


def make_scene(channels: NDArray[np.float32], **others: Any) -> Scene:
    """A scene of reflectances and kelvin (rows, columns, 9) as its file has them.

    Fill values, NaN and whatever else is no measurement become 0 in the same memory. `others` are
    the scene's other attributes.
    """
    missing = missing_values(channels)
    channels[missing] = 0
    return Scene(channels, missing, **others)


def normalise(channels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The network's image of reflectances and kelvin (..., 9), in the same memory."""
    normalise_reflectances(channels[..., :REFLECTANCES])
    normalise_temperatures(channels[..., REFLECTANCES:])
    return channels


def normalise_reflectances(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reflectance - 0.5 in place; reflectance 0 where missing."""
    zero_missing_reflectances(values)
    values -= np.float32(REFLECTANCE_OFFSET)
    return values


def normalise_temperatures(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(Kelvin - 270) / 22 in place; 0 K where missing."""
    zero_missing_temperatures(values)
    values -= np.float32(TEMPERATURE_OFFSET_KELVIN)
    values *= np.float32(1 / TEMPERATURE_SCALE_KELVIN)
    return values
