"""Threshold screen: fixed tests on single pixels and their neighbours, in the operational spirit.

The tests follow the screens of AVHRR (Saunders and Kriebel 1988, Int. J. Remote Sensing 9,
123-150; SK below), of ATSR (Zavody, Mutlow and Llewellyn-Jones 2000, J. Atmos. Oceanic Technol.
17, 595-615; ZML) and of SLSTR, whose basic tests come from ATSR (SLSTR level 1 ATBD,
S3-TN-RAL-SL-032). Those take limits from climatology, position and viewing geometry. The scenes
hold none of these, so the scene's own warm end stands in for the climatology, limits are those
of nadir, and where the surface is unknown the more tolerant limits of land are used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloudmask.science.observation import Observation, Plane, Selection

# Gross cloud: 12 um colder by this much than the warm end of the scene's sea, or of all of it.
WARM_END_PERCENTILE = 95
GROSS_KELVIN_SEA, GROSS_KELVIN_LAND = 10.0, 20.0

# Thin cirrus: largest clear 11 - 12 um difference by 11 um temperature (SK, nadir).
CIRRUS_AT_KELVIN = (260.0, 270.0, 280.0, 290.0, 300.0, 310.0)
CIRRUS_KELVIN = (0.55, 0.58, 1.30, 3.06, 5.77, 9.41)

# Fog and low stratus by night: 11 - 3.7 um (SK, sea); bare ground emits less at 3.7 um.
FOG_KELVIN_SEA, FOG_KELVIN_LAND = 1.0, 3.0

# By day droplets reflect sunlight at 3.7 um: 3.7 - 11 um (Baum and Trepte 1999, J. Atmos. Oceanic
# Technol. 16, 793-800, group such tests by surface); the limits are ours.
SUNLIT_KELVIN_SEA, SUNLIT_KELVIN_LAND = 8.0, 20.0

# Medium and high cloud by night: 3.7 - 12 um (SK: 1.5 K in dry air). Vapour, which grows with the
# temperature, splits the channels too; ZML therefore tabulate the limit by 12 um temperature.
HIGH_AT_KELVIN = (260.0, 280.0, 300.0)
HIGH_KELVIN = (1.5, 2.5, 4.5)

# Spatial coherence: standard deviation of 11 um over 3 x 3 pixels (SK: 0.2 K over sea).
COHERENCE_KELVIN_SEA, COHERENCE_KELVIN_LAND = 0.2, 1.0

# Visible: 0.87 um over sea, which is darkest there; elsewhere 0.66 um where the ratio of both is
# that of cloud, near 1 (SK). The limits are round numbers above clear sea and vegetation.
BRIGHT_SEA, BRIGHT_LAND = 0.15, 0.35
CLOUD_RATIO = (0.8, 1.1)

# 1.6 um over sea: dark water, bright droplets (ZML; theirs adapts to glint, this one does not).
BRIGHT_1600 = 0.06

# 1.375 um: vapour hides everything below high cloud (limit of MOD35, MODIS cloud mask ATBD).
BRIGHT_1375 = 0.035

# Snow: bright in the visible and dark at 1.6 um (Hall et al. 1995, Remote Sens. Environ. 54).
SNOW_INDEX, SNOW_BRIGHTNESS = 0.4, 0.11


@dataclass(frozen=True)
class View:
    """What the tests look at: an observation, its sea, its snow and its warm end."""

    seen: Observation
    sea: Selection
    snow: Selection
    warmest: Plane
    """Warm end of S9 for the pixel's surface, K."""

    def limit(self, sea: float, land: float) -> Plane:
        """The limit of each pixel's surface, (1200, 1500)."""
        limits: Plane = np.where(self.sea, np.float32(sea), np.float32(land))
        return limits


def gross_cloud_12(view: View) -> Selection:
    """Colder at 12 um than any clear surface of the scene (SK, ZML)."""
    return view.seen.band(9) < view.warmest - view.limit(GROSS_KELVIN_SEA, GROSS_KELVIN_LAND)


def thin_cirrus_11_12(view: View) -> Selection:
    """Ice absorbs more at 12 than at 11 um (SK, ZML)."""
    s8 = view.seen.band(8)
    return s8 - view.seen.band(9) > np.interp(s8, CIRRUS_AT_KELVIN, CIRRUS_KELVIN)


def spatial_coherence_11(view: View) -> Selection:
    """Broken cloud is rougher than the surface (SK, ZML)."""
    return view.seen.texture > view.limit(COHERENCE_KELVIN_SEA, COHERENCE_KELVIN_LAND)


def fog_low_stratus_11_37(view: View) -> Selection:
    """By night: small droplets emit less at 3.7 than at 11 um (SK, ZML)."""
    difference = view.seen.band(8) - view.seen.band(7)
    return ~view.seen.day & (difference > view.limit(FOG_KELVIN_SEA, FOG_KELVIN_LAND))


def medium_high_37_12(view: View) -> Selection:
    """By night: warm ground shines through thin high cloud most at 3.7 um (SK, ZML)."""
    s9 = view.seen.band(9)
    return ~view.seen.day & (view.seen.band(7) - s9 > np.interp(s9, HIGH_AT_KELVIN, HIGH_KELVIN))


def sunlit_droplets_37_11(view: View) -> Selection:
    """By day: droplets reflect sunlight at 3.7 um (Baum and Trepte 1999)."""
    difference = view.seen.band(7) - view.seen.band(8)
    return view.seen.day & (difference > view.limit(SUNLIT_KELVIN_SEA, SUNLIT_KELVIN_LAND))


def visible(view: View) -> Selection:
    """By day: brighter than the surface, and grey (SK)."""
    red, near = view.seen.band(2), view.seen.band(3)
    grey = (near > CLOUD_RATIO[0] * red) & (near < CLOUD_RATIO[1] * red)
    bright = np.where(view.sea, near > BRIGHT_SEA, (red > BRIGHT_LAND) & grey)
    return view.seen.day & bright & ~view.snow


def near_infrared_1600(view: View) -> Selection:
    """By day over sea: brighter at 1.6 um than water (ZML)."""
    return view.seen.day & view.sea & (view.seen.band(5) > BRIGHT_1600)


def cirrus_1375(view: View) -> Selection:
    """By day: high cloud above the vapour (SLSTR ATBD). Not on snow, which dry air lets show."""
    return view.seen.day & (view.seen.band(4) > BRIGHT_1375) & ~view.snow


Test = Callable[[View], Selection]
TESTS: tuple[Test, ...] = (
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


def threshold_flags(seen: Observation) -> NDArray[np.uint16]:
    """Flags (1200, 1500): bit n is set where `TESTS`[n] finds cloud; invalid pixels are 0."""
    with np.errstate(invalid="ignore"):
        view = _view(seen)
        flags = np.zeros(seen.valid.shape, np.uint16)
        for bit, test in enumerate(TESTS):
            flags |= np.left_shift((test(view) & seen.valid).astype(np.uint16), bit)
    return flags


def _view(seen: Observation) -> View:
    sea = np.zeros_like(seen.valid) if seen.sea is None else seen.sea
    visible_green, near = seen.band(1), seen.band(5)
    snow = (
        seen.day
        & ~sea
        & (visible_green - near > SNOW_INDEX * (visible_green + near))
        & (seen.band(3) > SNOW_BRIGHTNESS)
    )
    warmest = np.empty(sea.shape, np.float32)
    for selected in (sea, ~sea):
        warmest[selected] = _warm_end(seen.band(9)[selected & seen.valid])
    return View(seen, sea, snow, warmest)


def _warm_end(kelvin: Plane) -> float:
    return float(np.percentile(kelvin, WARM_END_PERCENTILE)) if kelvin.size else np.nan
