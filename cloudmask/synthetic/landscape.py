"""Surface of a synthetic scene: sea, land, ice and snow, and the air above it.

All structure comes from Gaussian random fields. The numbers are climatological orders of magnitude,
not a fit to any data set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from cloudmask.scenes.slstr import COLUMNS, ROWS
from cloudmask.synthetic.climate import Climate
from cloudmask.synthetic.fields import (
    Plane,
    cellular_field,
    random_field,
    smoothed,
    upper_quantile,
)

FREEZING_SEA_KELVIN = 271.4
WARMEST_SEA_KELVIN = 303.0
FREEZING_KELVIN = 273.15
LAPSE_RATE_KELVIN_PER_KM = 6.5


@dataclass(frozen=True)
class Surface:
    """State of the ground and the air, each plane (1200, 1500)."""

    temperature: Plane  # of the skin, K
    air: Plane  # temperature near the ground without small-scale detail, K
    water_vapour: Plane  # column along the line of sight, kg m-2
    sea: NDArray[np.bool_]  # open water
    ice: NDArray[np.bool_]  # sea ice
    snow: Plane  # fraction of land under snow
    vegetation: Plane  # fraction of snow-free land that is green
    glint: Plane  # reflectance of sun glint on open water; 0 by night


def make_surface(rng: Generator, climate: Climate, day: bool) -> Surface:
    """Draw sea, land, ice and snow of one scene."""
    southward = np.linspace(-0.5, 0.5, ROWS, dtype=np.float32)[:, None]
    elevation = random_field(rng, 2.6, 700)
    height_km = np.maximum(elevation - upper_quantile(elevation, rng.uniform(0.25, 0.4)), 0)
    land = height_km > 0
    height_km *= np.float32(0.4)

    eddies = random_field(rng, 3.0, 150)
    fronts = np.tanh(5 * random_field(rng, 2.6, 400))
    water = (
        np.float32(rng.uniform(*climate.sea_kelvin))
        + np.float32(climate.sea_gradient_kelvin) * southward
        + np.float32(0.5) * eddies
        + np.float32(0.7) * fronts
    )
    np.clip(water, FREEZING_SEA_KELVIN, WARMEST_SEA_KELVIN, out=water)

    ice, ice_kelvin = _sea_ice(rng, climate, day, ~land)
    greenness = np.clip(
        climate.vegetation + np.float32(0.35) * random_field(rng, 2.0, 250), 0, 1
    ).astype(np.float32)
    if day:
        heating = climate.land_heating_kelvin * (1 - np.float32(0.6) * greenness)
    else:
        heating = np.full_like(greenness, -climate.land_cooling_kelvin)
    detail = np.float32(0.5) * random_field(rng, 1.8, 60)
    ground = water + heating - np.float32(LAPSE_RATE_KELVIN_PER_KM) * height_km + detail
    snow = np.where(land, 1 / (1 + np.exp(np.clip(2 * (ground - 271), -20, 20))), 0)
    if day:
        # Melting snow stays at the freezing point.
        ground -= snow.astype(np.float32) * np.maximum(ground - FREEZING_KELVIN, 0)
    temperature = np.where(land, ground, np.where(ice, ice_kelvin, water)).astype(np.float32)

    vapour = np.float32(rng.uniform(*climate.water_vapour)) * np.exp(
        np.float32(0.2) * random_field(rng, 2.5, 500) - np.float32(0.4) * height_km
    )
    # The nadir view scans to about 55 degrees on one side of the track and 30 on the other.
    view = np.radians(np.linspace(-30, 55, COLUMNS, dtype=np.float32))
    sea = ~land & ~ice
    return Surface(
        temperature=temperature,
        air=smoothed(temperature, 12),
        water_vapour=(vapour / np.cos(view)).astype(np.float32),
        sea=sea,
        ice=ice,
        snow=snow.astype(np.float32),
        vegetation=greenness,
        glint=_sun_glint(rng, climate) * sea if day else np.zeros_like(water),
    )


def _sea_ice(
    rng: Generator, climate: Climate, day: bool, water: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], Plane]:
    """Pixels with ice floes, and their temperature; leads are open water between floes."""
    share = rng.uniform(*climate.sea_ice)
    if share == 0:
        return np.zeros_like(water), np.zeros(water.shape, np.float32)
    northward = np.linspace(1, -1, ROWS, dtype=np.float32)[:, None]
    pack = random_field(rng, 2.4, 400) + northward
    pack -= np.float32(np.quantile(pack[water][::16], 1 - share))
    floes = cellular_field(rng, 14, 0.6)
    leads = np.abs(random_field(rng, 2.2, 120, elongation=1.6, angle=rng.uniform(0, np.pi)))
    ice = water & (4 * pack + floes > 0) & (leads > np.float32(0.04))
    coldness = np.clip(pack, 0, 2) + np.float32(0.35) * random_field(rng, 2.0, 80)
    kelvin = (268 if day else 263) - 6 * coldness
    return ice, np.clip(kelvin, 245, 271).astype(np.float32)


def _sun_glint(rng: Generator, climate: Climate) -> Plane:
    """Sun glint on a wind-roughened sea: an ellipse along the track, with slicks."""
    row, column = np.ogrid[-0.5 : 0.5 : ROWS * 1j, -0.5 : 0.5 : COLUMNS * 1j]
    away = ((row - rng.uniform(-0.2, 0.2)) / 0.45) ** 2 + (
        (column - rng.uniform(-0.25, -0.05)) / 0.11
    ) ** 2
    # A low sun is reflected away from the satellite.
    peak = 0.32 * np.cos(np.radians(np.mean(climate.sun_zenith_degrees))) ** 2
    roughness = np.exp(np.float32(0.25) * random_field(rng, 2.0, 60))
    glint: Plane = (peak * np.exp(-away) * roughness).astype(np.float32)
    return glint
