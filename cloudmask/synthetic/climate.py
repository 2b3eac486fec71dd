"""Climates of synthetic scenes: the default's three, and those of the twin by latitude.

The numbers are climatological orders of magnitude, not a fit to any data set.
"""

from __future__ import annotations

from dataclasses import dataclass


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

# Climates of the twin, each at the latitude (degrees north) for which it stands.
BY_LATITUDE = {
    25: Climate((297.0, 300.5), 3.0, (32, 44), 20.0, 5.0, 0.25, 208.0, (35, 45), (0, 0)),
    35: Climate((290.0, 297.0), 6.0, (20, 32), 12.0, 5.0, 0.45, 212.0, (45, 52), (0, 0)),
    56: Climate((280.5, 286.0), 6.0, (10, 18), 2.0, 4.0, 0.6, 216.0, (60, 70), (0, 0)),
    66: Climate((274.5, 280.5), 6.0, (6, 12), -3.0, 6.0, 0.5, 220.0, (70, 80), (0, 0.1)),
    77: Climate((271.0, 275.0), 4.0, (3, 7), -7.0, 9.0, 0.2, 222.0, (80, 92), (0.3, 0.7)),
}


def climate_at(latitude: float) -> Climate:
    """The climate of the nearest latitude of `BY_LATITUDE`, in either hemisphere."""
    return BY_LATITUDE[min(BY_LATITUDE, key=lambda known: abs(known - abs(latitude)))]
