"""The label of the twin: a cloud screen that errs as the old operational one did.

It is conservative: thin cloud, and the surroundings of cloud, count as cloudy. Its errors are
correlated in space, depend on surface, time of day and kind of cloud, and are worst in a few
scenes. All terms are in units of evidence: the log of optical depth over the depth that is called
cloudy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from cloudmask.synthetic.clouds import Layer
from cloudmask.synthetic.fields import Plane, box_mean, random_field
from cloudmask.synthetic.landscape import Surface
from cloudmask.synthetic.physics import Measurement


@dataclass(frozen=True)
class Errors:
    """Sizes of the screen's errors; the values are calibrated in benchmarks/twin.md."""

    called_cloudy: float = 0.0042  # optical depth
    blank: float = 0.0011  # optical depth of noise in clear sky
    largest: float = 2.2  # limit of the evidence of a pixel
    reach: int = 4  # pixels around cloud that are called cloudy too
    edge: float = 0.8
    regional: float = 0.65  # standard deviation of errors over 300 km, over open sea by day
    local: float = 0.4  # over 30 km
    by_night: float = 1.3  # factors of both
    over_land: float = 1.4
    over_ice: float = 1.8
    bad_scenes: float = 0.07
    in_bad_scenes: float = 3.0
    missed_low_by_night: float = 0.8


def operational_mask(
    rng: Generator,
    surface: Surface,
    layers: list[Layer],
    measurement: Measurement,
    night: NDArray[np.bool_] | bool,
    share: float,
    errors: Errors,
) -> NDArray[np.bool_]:
    """The pixels (1200, 1500) that the screen calls cloudy: a fraction `share` of them."""
    depth = measurement.optical_depth
    own = _evidence(depth, errors)
    nearby = _evidence(box_mean(depth, errors.reach), errors)
    evidence = own + np.float32(errors.edge) * np.maximum(nearby - own, 0)

    ice = surface.ice | (surface.snow > np.float32(0.5))
    scale = np.where(surface.sea, 1, np.where(ice, errors.over_ice, errors.over_land))
    scale = scale * np.where(night, errors.by_night, 1)
    if rng.random() < errors.bad_scenes:
        scale = scale * errors.in_bad_scenes
    error = np.float32(errors.regional) * random_field(rng, 2.6, 300)
    error += np.float32(errors.local) * random_field(rng, 1.6, 30)
    evidence += scale.astype(np.float32) * error

    low = layers[0].optical_depth + layers[1].optical_depth
    alike = np.exp(-np.abs(measurement.contrast_kelvin) / np.float32(3))
    missed = np.float32(errors.missed_low_by_night) * alike * (low > 0)
    evidence -= np.where(night, missed, 0)
    level = np.quantile(evidence[::4, ::4], 1 - share)
    cloudy: NDArray[np.bool_] = evidence > np.float32(level)
    return cloudy


def _evidence(depth: Plane, errors: Errors) -> Plane:
    ratio = (depth + np.float32(errors.blank)) / np.float32(errors.called_cloudy + errors.blank)
    result: Plane = np.clip(np.log(ratio), -errors.largest, errors.largest)
    return result
