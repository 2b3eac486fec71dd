"""A twin of DS1: scenes with the published statistics of the data set, and a label that errs.

It is calibrated to published marginals and to the first epochs of the published learning curves
(benchmarks/twin.md). It is not DS1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.stats import beta

from cloudmask.synthetic.climate import climate_at
from cloudmask.synthetic.clouds import Amounts, Layer, make_clouds
from cloudmask.synthetic.fields import Plane
from cloudmask.synthetic.landscape import make_surface
from cloudmask.synthetic.masks import cloud_type, surface_type, threshold_mask, true_mask
from cloudmask.synthetic.missing_values import (
    cosmetic_pixels,
    darken_night,
    drop_saturated,
    drop_scan_lines,
    fill_from_neighbours,
    seen_pixels,
)
from cloudmask.synthetic.operational_screen import Errors, operational_mask
from cloudmask.synthetic.physics import add_noise, measure, solar_radiances
from cloudmask.synthetic.view import (
    FRAMES,
    HORIZON_DEGREES,
    Frame,
    dim_in_twilight,
    sun_zenith,
)

# Share of cloud by label in a scene: beta distributions over the published range, with the
# published means of day and night.
LEAST_SHARE, LARGEST_SHARE = 0.46, 0.99
SHARES_BY_DAY, SHARES_BY_NIGHT = (2.2, 1.5), (2.7, 1.0)

# How the sky that is not clear is divided among the layers, which overlap.
WEIGHTS = {"fog": 0.08, "stratus": 0.35, "cumulus": 0.2, "thick": 0.3, "cirrus": 0.07}
# Cloud of any depth as a share of the cloud by label: the screen calls some clear sky cloudy too.
ANY_CLOUD = 0.85
# What makes the published curves so slow: most of what the label calls cloud is hardly visible. All
# but thick cloud changes S1 by 0.003 and S8 by 0.1 K (medians of 8 scenes; 0.009 and 0.7 K at the
# 90th percentile), where normalised channels span 13 with missing values (benchmarks/twin.md).
OPACITY = 0.006
WARM_TOPS_KELVIN = (-2.0, 3.0)  # air minus top of stratus
TRUE_DEPTH = 0.03  # optical depth from which a pixel is truly cloudy


def make_twin_scene(rng: Generator, frame: Frame, level: float) -> dict[str, NDArray[Any]]:
    """Simulate the data sets of one scene, by name; shapes as in `generate.SHAPES`.

    Args:
        frame: where and when it is seen.
        level: 0 to 1, rank of its share of cloud among the scenes.
    """
    zenith = sun_zenith(rng, frame, bool(rng.random() < 2 / 3))
    climate = climate_at(frame.latitude)
    dark = zenith is None or float(zenith.mean()) > HORIZON_DEGREES
    shape = SHARES_BY_NIGHT if dark else SHARES_BY_DAY
    share = LEAST_SHARE + (LARGEST_SHARE - LEAST_SHARE) * float(beta.ppf(level, *shape))
    surface = make_surface(rng, climate, zenith is not None)
    layers = make_clouds(rng, climate, surface, _amounts(ANY_CLOUD * share))
    measurement = measure(surface, layers, zenith, _shadow(layers, zenith))
    night: NDArray[np.bool_] | bool = True
    if zenith is not None:
        night = zenith > HORIZON_DEGREES
        dim_in_twilight(measurement.reflectances, zenith)
        add_noise(rng, measurement, True, np.cos(np.radians(zenith)))
    else:
        add_noise(rng, measurement, False)
    darken_night(rng, measurement, np.broadcast_to(night, surface.sea.shape))
    label = operational_mask(rng, surface, layers, measurement, night, share, Errors())
    truth, summary = (
        true_mask(measurement, TRUE_DEPTH),
        threshold_mask(surface, measurement, zenith is not None),
    )

    cosmetic, seen = cosmetic_pixels(rng), seen_pixels(rng)
    drop_saturated(rng, measurement)
    drop_scan_lines(rng, measurement)
    scene: dict[str, NDArray[Any]] = {
        "refs": measurement.reflectances,
        "bts": measurement.temperatures,
        "rads": solar_radiances(measurement.reflectances, zenith),
        "bayes": label[..., None],
        "summary": (summary > 0)[..., None],
    }
    for values in scene.values():
        fill_from_neighbours(values, cosmetic)
    scene |= {
        "truth": truth[..., None],
        "surface": surface_type(surface)[..., None],
        "cloud_type": cloud_type(layers, truth)[..., None],
    }
    for values in scene.values():
        values[~seen] = 0
    for name in ("bayes", "summary"):
        scene[name] = scene[name].astype(np.uint8) * np.uint8(255)
    return scene | {"refs": scene["refs"].astype(np.float64)}


def deck(seed: list[int]) -> list[tuple[Frame, float]]:
    """Frames and levels of 20 scenes in a row: each of `FRAMES` once.

    Levels are evenly spread, by day and by night.
    """
    rng = np.random.default_rng([*seed, len(FRAMES)])
    drawn = []
    for by_day in (True, False):
        frames = [frame for frame in FRAMES if (frame.solar_hour is not None) == by_day]
        spread = (rng.permutation(len(frames)) + rng.uniform(size=len(frames))) / len(frames)
        drawn += [(frame, float(level)) for frame, level in zip(frames, spread, strict=True)]
    return [drawn[number] for number in rng.permutation(len(drawn))]


def _amounts(share: float) -> Amounts:
    """Amounts of layers that together cover `share`, if they are independent of each other."""
    clear = 1 - min(share, 0.97)
    shares = {name: 1 - clear**weight for name, weight in WEIGHTS.items()}
    pairs = {name: (0.9 * value, 1.1 * value) for name, value in shares.items()}
    return Amounts(**pairs, stratus_below_kelvin=WARM_TOPS_KELVIN, opacity=OPACITY)


def _shadow(layers: list[Layer], zenith: Plane | None) -> Plane | None:
    """Sunlight that reaches the ground beside the clouds, which shade what lies north of them."""
    if zenith is None:
        return None
    slant = np.tan(np.radians(min(float(np.median(zenith)), 80)))
    lit = np.ones(zenith.shape, np.float32)
    for layer, height_km in zip(layers, (0.2, 1.0, 1.5, 5.0, 9.0), strict=True):
        shade = np.roll(layer.optical_depth, -round(height_km * slant), axis=0)
        lit *= np.float32(0.3) + np.float32(0.7) * np.exp(-shade)
    return lit
