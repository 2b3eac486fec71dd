"""Surface and cloud layers of a synthetic scene: sea, land, ice and snow, and clouds above them.

All structure comes from Gaussian random fields with power-law spectra, on the 1 km grid of a
scene. The numbers are climatological orders of magnitude, not a fit to any data set.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy.fft
from numpy.random import Generator
from numpy.typing import NDArray

from cloudmask.scenes.slstr import COLUMNS, ROWS

Plane = NDArray[np.float32]

FREEZING_SEA_KELVIN = 271.4
WARMEST_SEA_KELVIN = 303.0
FREEZING_KELVIN = 273.15
LAPSE_RATE_KELVIN_PER_KM = 6.5


@dataclass(frozen=True)
class Climate:
    """Parameters of a climate; pairs are ranges from which a scene draws its value."""

    sea_kelvin: tuple[float, float]
    sea_gradient_kelvin: float  # from the top of the scene to its bottom
    water_vapour: tuple[float, float]  # column, kg m-2
    land_heating_kelvin: float  # bare land minus sea by day
    land_cooling_kelvin: float  # sea minus land by night
    vegetation: float  # mean fraction of green ground
    coldest_top_kelvin: float  # of the highest clouds
    sun_zenith_degrees: tuple[float, float]
    sea_ice: tuple[float, float]  # fraction of the sea under ice


TROPICAL = Climate((298.0, 300.5), 3.0, (34, 46), 14.0, 2.0, 0.55, 205.0, (25, 38), (0, 0))
MIDLATITUDE = Climate((284.0, 288.0), 7.0, (13, 20), 10.0, 3.5, 0.6, 218.0, (40, 52), (0, 0))
POLAR = Climate((272.5, 274.0), 4.0, (3, 6), -5.0, 7.0, 0.35, 222.0, (60, 68), (0.3, 0.45))

# Climates of six half-orbits in turn; even ones are on the day side. Any four in a row have two
# days, two nights and every climate; the default split validates on all three climates.
CONDITIONS = (TROPICAL, POLAR, MIDLATITUDE, MIDLATITUDE, POLAR, TROPICAL)


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


@dataclass(frozen=True)
class Layer:
    """One cloud layer, each plane (1200, 1500)."""

    name: str
    optical_depth: Plane  # absorption at 10.85 um; 0 without cloud
    temperature: Plane  # of the cloud top, K
    ice: float  # fraction of ice; the rest is droplets


def random_field(
    rng: Generator,
    slope: float,
    outer_km: float,
    inner_km: float = 0.0,
    elongation: float = 1.0,
    angle: float = 0.0,
) -> Plane:
    """A Gaussian random field (1200, 1500) of mean 0 and standard deviation 1.

    Its spectrum falls as wavenumber to the power -`slope` (5/3 to 3 in geophysical flows)
    between `outer_km` and `inner_km`; `elongation` stretches it along `angle` (radians).
    """
    down, across = _wavenumbers()
    if elongation != 1:
        along = np.cos(angle) * across + np.sin(angle) * down
        aside = np.cos(angle) * down - np.sin(angle) * across
        square = (along * np.float32(elongation)) ** 2 + (aside / np.float32(elongation)) ** 2
    else:
        square = down**2 + across**2
    # A one-dimensional slope p is a density k^-(p+1) in the plane, an amplitude k^-(p+1)/2.
    amplitude = (square + np.float32(outer_km**-2)) ** np.float32(-(slope + 1) / 4)
    if inner_km:
        amplitude *= np.exp(-square * np.float32(inner_km**2))
    return _shaped_noise(rng, amplitude)


def cellular_field(rng: Generator, spacing_km: float, width: float = 0.35) -> Plane:
    """A random field of cells about `spacing_km` apart, as in convection."""
    down, across = _wavenumbers()
    octaves = np.log(np.sqrt(down**2 + across**2) * np.float32(spacing_km) + np.float32(1e-6))
    amplitude = np.exp(-((octaves / np.float32(width)) ** 2))
    return _shaped_noise(rng, amplitude)


def smoothed(plane: Plane, radius_km: float) -> Plane:
    """The plane smoothed by a Gaussian of this standard deviation, periodic at the edges."""
    down, across = _wavenumbers()
    factor = np.exp((down**2 + across**2) * np.float32(-2 * (np.pi * radius_km) ** 2))
    result: Plane = scipy.fft.irfft2(scipy.fft.rfft2(plane) * factor, s=(ROWS, COLUMNS))
    return result


def make_surface(rng: Generator, climate: Climate, day: bool) -> Surface:
    """Draw sea, land, ice and snow of one scene."""
    southward = np.linspace(-0.5, 0.5, ROWS, dtype=np.float32)[:, None]
    elevation = random_field(rng, 2.6, 700)
    height_km = np.maximum(elevation - _upper_quantile(elevation, rng.uniform(0.25, 0.4)), 0)
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


def make_clouds(rng: Generator, climate: Climate, surface: Surface) -> list[Layer]:
    """Draw the cloud layers of one scene, lowest first."""
    air, cold = surface.air, np.float32(climate.coldest_top_kelvin)

    patches = random_field(rng, 3.0, 200, inner_km=2)
    excess = _excess(patches, rng.uniform(0.03, 0.05))
    lift = np.clip(air - np.float32(0.5) * np.abs(patches), surface.temperature - 1, None)
    fog_kelvin = np.minimum(lift, surface.temperature + np.float32(0.5))
    fog = Layer("fog", 6 * excess ** np.float32(0.7), fog_kelvin, 0.0)

    sheet = random_field(rng, 2.4, 400)
    excess = _excess(sheet, rng.uniform(0.11, 0.15))
    cells = cellular_field(rng, 22, 0.5)
    depth = 9 * np.sqrt(excess) * np.exp(np.float32(0.6) * cells)
    below = np.clip(6 + 2 * random_field(rng, 3.0, 250) + np.float32(0.4) * cells, 2, 8)
    stratus = Layer("stratus", depth, air - below, 0.0)

    region = random_field(rng, 2.6, 350)
    field = np.float32(0.7) * cellular_field(rng, 13, 0.9) + np.float32(0.6) * random_field(
        rng, 1.6, 25
    )
    # Cells become thinner towards the edge of their region.
    crowding = region - _upper_quantile(region, rng.uniform(0.14, 0.19))
    excess = np.maximum(field - np.maximum(np.float32(0.5) - crowding, 0), 0) * (crowding > -0.5)
    cumulus = Layer("cumulus", 12 * excess, air - (5 + 7 * excess), 0.0)

    system = random_field(rng, 2.3, 600)
    excess = _excess(system, rng.uniform(0.28, 0.34))
    texture = random_field(rng, 1.7, 50)
    depth = 12 * excess * np.exp(np.float32(0.5) * texture)
    rise = np.clip(0.25 + 0.55 * excess + np.float32(0.05) * texture, 0.15, 1)
    thick = Layer("thick", depth, air - rise * np.maximum(air - cold, 10), 0.8)

    angle = rng.uniform(0, np.pi)
    streaks = random_field(rng, 2.1, 300, elongation=1.7, angle=angle)
    excess = _excess(streaks, rng.uniform(0.13, 0.17))
    cirrus_kelvin = np.float32(rng.uniform(6, 18)) + cold + 3 * texture
    depth = np.minimum(np.float32(3) * excess ** np.float32(0.8), 4)
    cirrus = Layer("cirrus", depth, np.minimum(cirrus_kelvin, air - 15), 1.0)

    return [
        Layer(x.name, x.optical_depth.astype(np.float32), x.temperature.astype(np.float32), x.ice)
        for x in (fog, stratus, cumulus, thick, cirrus)
    ]


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


def _excess(field: Plane, share: float) -> Plane:
    """The field minus its quantile at 1 - `share`, at least 0."""
    excess: Plane = np.maximum(field - _upper_quantile(field, share), 0)
    return excess


def _upper_quantile(field: Plane, share: float) -> np.float32:
    level: np.float32 = np.float32(np.quantile(field[::4, ::4], 1 - share))
    return level


@cache
def _wavenumbers() -> tuple[Plane, Plane]:
    """Cycles per km down (1200, 1) and across (1, 751)."""
    down = scipy.fft.fftfreq(ROWS).astype(np.float32)[:, None]
    across = scipy.fft.rfftfreq(COLUMNS).astype(np.float32)[None, :]
    return down, across


def _shaped_noise(rng: Generator, amplitude: Plane) -> Plane:
    noise = rng.standard_normal((ROWS, COLUMNS), dtype=np.float32)
    spectrum = scipy.fft.rfft2(noise)
    spectrum *= amplitude
    spectrum[0, 0] = 0
    field: Plane = scipy.fft.irfft2(spectrum, s=(ROWS, COLUMNS))
    field /= field.std(dtype=np.float64).astype(np.float32)
    return field
