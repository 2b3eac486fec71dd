"""Where and when a scene of the twin is seen: its frame of the orbit, latitude, and the sun.

Sentinel-3A crosses the equator southward at 10:00 local solar time. A frame is the time in seconds
since it crossed northward; frames, and how many of each, follow the 100 inference scenes of DS1, of
which 55 are sunlit and which lie between 26 and 84 degrees, most of them in the northern Atlantic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from cloudmask.scenes.slstr import COLUMNS, ROWS
from cloudmask.synthetic.fields import Plane

# Solar declination in October 2019, degrees, at the beginning and at the end.
DECLINATION_DEGREES = (-3.0, -14.0)
HALF_SCENE_DEGREES = 5.4  # 1200 km along the track, half of it
HORIZON_DEGREES = 90.0
# Scattered sunlight after sunset: reflectance falls to 1/e within these degrees.
TWILIGHT_DEGREES = 1.5


@dataclass(frozen=True)
class Frame:
    """A place on the orbit.

    Attributes:
        seconds: since the ascending node; in the file's name.
        latitude: of the centre, degrees north.
        solar_hour: local time at the centre; None on the night side.
    """

    seconds: int
    latitude: float
    solar_hour: float | None


# Any 20 scenes in a row have each of these once; two of the frames at 77 degrees are in twilight.
_NIGHT = {360: (27, 2), 540: (38, 1), 900: (58, 3), 1260: (78, 1)}
_DAY = {1620: (77, 12.2, 3), 1800: (66, 11.1, 3), 1980: (56, 10.7, 4), 2340: (35, 10.2, 2)}
_DAY |= {2520: (25, 10.1, 1)}
FRAMES = (
    *(Frame(s, latitude, None) for s, (latitude, count) in _NIGHT.items() for _ in range(count)),
    *(Frame(s, lat, hour) for s, (lat, hour, count) in _DAY.items() for _ in range(count)),
)


def sun_zenith(rng: Generator, frame: Frame, twilight: bool) -> Plane | None:
    """Solar zenith angle of each pixel in degrees, (1200, 1500); None by night.

    Args:
        twilight: late in October instead of early; at 77 degrees, the sun is then at the horizon.
    """
    if frame.solar_hour is None:
        return None
    early, late = DECLINATION_DEGREES
    middle = (early + late) / 2
    declination = rng.uniform(late, middle - 2) if twilight else rng.uniform(middle, early)
    latitude = np.radians(latitudes(frame))[:, None]
    # 1500 km across the track, at the latitude of the scene: hours of local time.
    width = 1500 / 111.2 / np.cos(np.radians(min(abs(frame.latitude), 75))) / 15
    hour = frame.solar_hour - 12 + np.linspace(-0.5, 0.5, COLUMNS)[None, :] * width
    sine = np.sin(np.radians(declination))
    cosine = np.cos(np.radians(declination))
    height = np.sin(latitude) * sine + np.cos(latitude) * cosine * np.cos(np.radians(15 * hour))
    zenith: Plane = np.degrees(np.arccos(height)).astype(np.float32)
    return zenith


def latitudes(frame: Frame) -> Plane:
    """Latitude of each row in degrees; a scene by day goes southward, one by night northward."""
    away = np.linspace(HALF_SCENE_DEGREES, -HALF_SCENE_DEGREES, ROWS, dtype=np.float32)
    rows: Plane = np.float32(frame.latitude) + (away if frame.solar_hour is not None else -away)
    return rows


def dim_in_twilight(reflectances: Plane, zenith: Plane) -> None:
    """Make reflectances (1200, 1500, 6) those of a sun below the horizon, where it is, in place."""
    below = np.maximum(zenith - np.float32(HORIZON_DEGREES), 0)
    light = np.where(below > 0, 0.05 * np.exp(-below / np.float32(TWILIGHT_DEGREES)), 1)
    reflectances *= light.astype(np.float32)[..., None]
