"""Masks of a synthetic scene: truth, Bayesian and threshold mask, surface and cloud type.

The Bayesian mask is simulated, not computed: it is the truth with systematic errors of the kinds
that such screens make, as many as a given disagreement needs.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from cloudmask.synthetic.clouds import Layer
from cloudmask.synthetic.fields import Plane, box_mean, random_field
from cloudmask.synthetic.landscape import Surface
from cloudmask.synthetic.physics import CIRRUS_BAND, Measurement

# Absorption optical depth from which a pixel is called cloudy.
CLOUDY_DEPTH = 0.25

# Limit of the evidence of a pixel, in units of log optical depth.
LARGEST_EVIDENCE = 2.0

# Bits of the Bayesian flag: cloud at low and at moderate evidence.
LOW, MODERATE = 1, 2
SURE_EVIDENCE = 0.5

# Values of the classifications; 0 is none.
SURFACES = {1: "sea", 2: "sea_ice", 3: "land", 4: "snow"}
CLOUDS = {1: "fog", 2: "stratus", 3: "cumulus", 4: "thick", 5: "cirrus"}

# Weights of the errors, in units of evidence: they decide which kind dominates where.
SPREAD_OF_EDGES = 0.7
FALSE_ON_COLD_ICE = 2.6
MISSED_LOW_BY_NIGHT, MISSED_LOW_BY_DAY = 5.0, 1.0
MISSED_CIRRUS = 2.5
FALSE_IN_GLINT = 2.5
RAGGEDNESS = 0.25


def true_mask(measurement: Measurement, cloudy_depth: float = CLOUDY_DEPTH) -> Plane:
    """1 where the total optical depth makes a cloud, else 0; (1200, 1500)."""
    return (measurement.optical_depth > cloudy_depth).astype(np.float32)


def surface_type(surface: Surface) -> Plane:
    """Surface type, (1200, 1500): a value of `SURFACES`."""
    land = np.where(surface.snow > np.float32(0.5), 4, 3)
    return np.where(surface.sea, 1, np.where(surface.ice, 2, land)).astype(np.float32)


def cloud_type(layers: list[Layer], truth: Plane) -> Plane:
    """The thickest layer of true cloud, (1200, 1500): a value of `CLOUDS`, 0 in clear sky."""
    thickest = np.argmax([layer.optical_depth for layer in layers], axis=0)
    codes = {name: code for code, name in CLOUDS.items()}
    kinds = np.array([codes[layer.name] for layer in layers], np.float32)
    return np.where(truth > 0, kinds[thickest], 0).astype(np.float32)


def bayesian_mask(
    rng: Generator,
    surface: Surface,
    layers: list[Layer],
    measurement: Measurement,
    day: bool,
    disagreement: float,
    inside: NDArray[np.bool_],
) -> Plane:
    """Flags (1200, 1500): 0 clear, 1 or 3 cloud; `inside` marks the pixels inside the frame.

    The flags differ from `true_mask` on the fraction `disagreement` of all pixels.
    """
    evidence = _evidence(measurement.optical_depth)
    error = _errors(rng, surface, layers, measurement, day, evidence)
    # A pixel is flipped if its error, times a common strength, is larger than its evidence.
    opposed = inside & (evidence * error < 0)
    strengths = np.abs(evidence[opposed]) / np.abs(error[opposed])
    wrong = min(round(disagreement * inside.size), strengths.size - 1)
    strength = np.partition(strengths, wrong)[wrong]
    flipped = opposed & (np.abs(evidence) < strength * np.abs(error))
    cloudy = (evidence > 0) ^ flipped
    sure = evidence + strength * error > SURE_EVIDENCE
    return np.where(cloudy, LOW + MODERATE * sure, 0).astype(np.float32)


def threshold_mask(surface: Surface, measurement: Measurement, day: bool) -> Plane:
    """Flags (1200, 1500) of fixed threshold tests on the channels: 0 clear, else a sum of bits."""
    s7, s8, s9 = (measurement.temperatures[..., band] for band in range(3))
    sea = surface.sea
    climatology = surface.air - np.float32(0.09) * surface.water_vapour
    flags = np.zeros(sea.shape, np.float32)
    flags += 1 * (s8 < climatology - np.where(sea, 8, 18))
    flags += 2 * (s8 - s9 > np.float32(1.5) + np.float32(0.045) * surface.water_vapour)
    if day:
        # Snow and ice are bright too, but dark at 1.6 um; many such pixels are flagged anyway.
        visible, near = measurement.reflectances[..., 1], measurement.reflectances[..., 4]
        bright = visible > np.where(sea, np.float32(0.38), np.float32(0.55))
        flags += 4 * (bright & (near > np.float32(0.12)))
        flags += 8 * (measurement.reflectances[..., CIRRUS_BAND] > np.float32(0.2))
    else:
        flags += 4 * (s7 - s8 < np.float32(-5))
    return flags


def _evidence(depth: Plane) -> Plane:
    """Log ratio of optical depth to `CLOUDY_DEPTH`, limited; its sign is the truth."""
    blank = np.float32(0.01)
    ratio = (depth + blank) / np.float32(CLOUDY_DEPTH + blank)
    result: Plane = np.clip(np.log(ratio), -LARGEST_EVIDENCE, LARGEST_EVIDENCE)
    # Never exactly zero: a pixel at the threshold is clear.
    return np.where(depth > CLOUDY_DEPTH, np.maximum(result, 1e-4), np.minimum(result, -1e-4))


def _errors(
    rng: Generator,
    surface: Surface,
    layers: list[Layer],
    measurement: Measurement,
    day: bool,
    evidence: Plane,
) -> Plane:
    """Error of the screen's evidence; positive towards cloud."""
    s8 = measurement.temperatures[..., 1]
    frozen = np.where(surface.ice, 1, surface.snow).astype(np.float32)
    cold = 1 / (1 + np.exp(np.clip((s8 - 256) / 2, -20, 20)))
    error = FALSE_ON_COLD_ICE * frozen * cold

    # By night, a split window cannot detect low cloud as warm as its ground.
    alike = np.exp(-np.maximum(measurement.contrast_kelvin, 0) / np.float32(2.0))
    weight = MISSED_LOW_BY_DAY if day else MISSED_LOW_BY_NIGHT
    error -= weight * alike * (evidence > 0)

    cirrus = next(layer for layer in layers if layer.name == "cirrus").optical_depth
    others = measurement.optical_depth - cirrus
    error -= MISSED_CIRRUS * np.exp(np.float32(-1.5) * cirrus) * (cirrus > 0) * (others < 0.1)

    error += FALSE_IN_GLINT * np.clip(surface.glint / np.float32(0.12) - 1, 0, 1)

    # The screen uses neighbourhoods, so cloud spreads over its edges and fills small gaps.
    nearby = _evidence(box_mean(measurement.optical_depth, 2))
    error += SPREAD_OF_EDGES * np.maximum(nearby - evidence, 0)
    error += RAGGEDNESS * random_field(rng, 1.2, 10)
    result: Plane = error.astype(np.float32)
    return result
