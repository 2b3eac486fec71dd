"""Threshold cloud screen: fixed tests of single pixels and of their neighbourhood.

The tests follow the screens of AVHRR (Saunders and Kriebel 1988, Int. J. Remote Sensing 9,
123-150; SK below), of ATSR (Zavody, Mutlow and Llewellyn-Jones 2000, J. Atmos. Oceanic Technol.
17, 595-615; ZML) and of SLSTR, whose basic tests come from ATSR (SLSTR level 1 ATBD,
S3-TN-RAL-SL-032). Those take thresholds from climatology, position and viewing geometry, which the
scenes do not contain. Here the scene's warm end replaces the climatology, thresholds are those of
nadir, and pixels of unknown surface take the more tolerant thresholds of land.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloudmask.science.pixel_features import Mask, PixelFeatures, Plane

# Gross cloud: 12 um colder by this much than the warm end of the scene's sea, or of its land.
WARM_END_PERCENTILE = 95
GROSS_KELVIN_SEA, GROSS_KELVIN_LAND = 10.0, 20.0

# Thin cirrus: largest clear 11 - 12 um difference by 11 um temperature (SK, nadir).
CIRRUS_AT_KELVIN = (260.0, 270.0, 280.0, 290.0, 300.0, 310.0)
CIRRUS_KELVIN = (0.55, 0.58, 1.30, 3.06, 5.77, 9.41)

# Fog and low stratus by night: 11 - 3.7 um (SK, sea); bare ground emits less at 3.7 um.
FOG_KELVIN_SEA, FOG_KELVIN_LAND = 1.0, 3.0

# By day droplets reflect sunlight at 3.7 um: 3.7 - 11 um (Baum and Trepte 1999, J. Atmos. Oceanic
# Technol. 16, 793-800, group such tests by surface); the thresholds are this project's.
SUNLIT_KELVIN_SEA, SUNLIT_KELVIN_LAND = 8.0, 20.0

# Medium and high cloud by night: 3.7 - 12 um (SK: 1.5 K in dry air). Water vapour increases the
# difference too, so ZML tabulate the threshold by 12 um temperature.
HIGH_AT_KELVIN = (260.0, 280.0, 300.0)
HIGH_KELVIN = (1.5, 2.5, 4.5)

# Spatial coherence: standard deviation of 11 um over 3 x 3 pixels (SK: 0.2 K over sea).
COHERENCE_KELVIN_SEA, COHERENCE_KELVIN_LAND = 0.2, 1.0

# Visible: 0.87 um over sea, which is darkest there; elsewhere 0.66 um where the ratio of both is
# near 1, as for cloud (SK). The thresholds are round numbers above clear sea and vegetation.
BRIGHT_SEA, BRIGHT_LAND = 0.15, 0.35
CLOUD_RATIO = (0.8, 1.1)

# 1.6 um over sea: dark water, bright droplets (ZML, who adapt it to sun glint; here it is fixed).
BRIGHT_1600 = 0.06

# 1.375 um: water vapour absorbs all light from below high cloud (MOD35, MODIS cloud mask ATBD).
BRIGHT_1375 = 0.035

# Snow: bright in the visible and dark at 1.6 um (Hall et al. 1995, Remote Sens. Environ. 54).
SNOW_INDEX, SNOW_BRIGHTNESS = 0.4, 0.11


@dataclass(frozen=True)
class Surface:
    """Sea, snow, and the warm end of S9 over sea or land (K), each (1200, 1500)."""

    sea: Mask
    snow: Mask
    warm_end: Plane

    def threshold(self, sea: float, land: float) -> Plane:
        """The threshold of each pixel's surface (1200, 1500)."""
        thresholds: Plane = np.where(self.sea, np.float32(sea), np.float32(land))
        return thresholds


def gross_cloud_12(features: PixelFeatures, surface: Surface) -> Mask:
    """Colder at 12 um than any clear surface of the scene (SK, ZML)."""
    depth = surface.threshold(GROSS_KELVIN_SEA, GROSS_KELVIN_LAND)
    return features.band(9) < surface.warm_end - depth


def thin_cirrus_11_12(features: PixelFeatures, _: Surface) -> Mask:
    """Ice absorbs more at 12 than at 11 um (SK, ZML)."""
    s8 = features.band(8)
    return s8 - features.band(9) > np.interp(s8, CIRRUS_AT_KELVIN, CIRRUS_KELVIN)


def spatial_coherence_11(features: PixelFeatures, surface: Surface) -> Mask:
    """Broken cloud is rougher than the surface (SK, ZML)."""
    return features.texture > surface.threshold(COHERENCE_KELVIN_SEA, COHERENCE_KELVIN_LAND)


def fog_low_stratus_11_37(features: PixelFeatures, surface: Surface) -> Mask:
    """By night: small droplets emit less at 3.7 than at 11 um (SK, ZML)."""
    difference = features.band(8) - features.band(7)
    return ~features.day & (difference > surface.threshold(FOG_KELVIN_SEA, FOG_KELVIN_LAND))


def medium_high_37_12(features: PixelFeatures, _: Surface) -> Mask:
    """By night: thin high cloud transmits the warm surface most at 3.7 um (SK, ZML)."""
    s9 = features.band(9)
    return ~features.day & (features.band(7) - s9 > np.interp(s9, HIGH_AT_KELVIN, HIGH_KELVIN))


def sunlit_droplets_37_11(features: PixelFeatures, surface: Surface) -> Mask:
    """By day: droplets reflect sunlight at 3.7 um (Baum and Trepte 1999)."""
    difference = features.band(7) - features.band(8)
    return features.day & (difference > surface.threshold(SUNLIT_KELVIN_SEA, SUNLIT_KELVIN_LAND))


def visible(features: PixelFeatures, surface: Surface) -> Mask:
    """By day: brighter than the surface, and grey (SK)."""
    red, near = features.band(2), features.band(3)
    grey = (near > CLOUD_RATIO[0] * red) & (near < CLOUD_RATIO[1] * red)
    bright = np.where(surface.sea, near > BRIGHT_SEA, (red > BRIGHT_LAND) & grey)
    return bright & ~surface.snow  # nothing is bright by night


def near_infrared_1600(features: PixelFeatures, surface: Surface) -> Mask:
    """By day over sea: brighter at 1.6 um than water (ZML)."""
    return features.day & surface.sea & (features.band(5) > BRIGHT_1600)


def cirrus_1375(features: PixelFeatures, surface: Surface) -> Mask:
    """By day, not over snow: high cloud above the water vapour (SLSTR ATBD)."""
    return features.day & (features.band(4) > BRIGHT_1375) & ~surface.snow


CloudTest = Callable[[PixelFeatures, Surface], Mask]
TESTS: tuple[CloudTest, ...] = (
    gross_cloud_12,
    thin_cirrus_11_12,
    spatial_coherence_11,
    fog_low_stratus_11_37,
    medium_high_37_12,
    sunlit_droplets_37_11,
    visible,
    near_infrared_1600,
    cirrus_1375,
)


def threshold_flags(features: PixelFeatures) -> NDArray[np.uint16]:
    """Flags (1200, 1500): bit n is set where `TESTS`[n] detects cloud; 0 at invalid pixels."""
    with np.errstate(invalid="ignore"):
        surface = _surface(features)
        flags = np.zeros(features.valid.shape, np.uint16)
        for bit, test in enumerate(TESTS):
            cloudy = test(features, surface) & features.valid
            flags |= np.left_shift(cloudy.astype(np.uint16), bit)
    return flags


def _surface(features: PixelFeatures) -> Surface:
    sea = np.zeros_like(features.valid) if features.sea is None else features.sea
    green, shortwave = features.band(1), features.band(5)
    snow = (
        ~sea
        & (green - shortwave > SNOW_INDEX * (green + shortwave))
        & (features.band(3) > SNOW_BRIGHTNESS)
    )
    warm_end = np.empty(sea.shape, np.float32)
    for selected in (sea, ~sea):
        warm_end[selected] = _warm_end(features.band(9)[selected & features.valid])
    return Surface(sea, snow, warm_end)


def _warm_end(kelvin: Plane) -> float:
    return float(np.percentile(kelvin, WARM_END_PERCENTILE)) if kelvin.size else np.nan
