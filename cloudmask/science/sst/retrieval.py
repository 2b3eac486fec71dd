"""Sea surface temperature (SST) from brightness temperatures: split and triple window equations.

Coefficients are those of NOAA-12 AVHRR at nadir, degrees Celsius from kelvin (NOAA/NESDIS,
NOAA-12 AVHRR SST equations of 8 March 1994; the split window also in the NOAA Polar Orbiter Data
User's Guide, appendix E). AVHRR channels 3, 4 and 5 correspond to S7, S8 and S9.
"""

from __future__ import annotations

import numpy as np

from cloudmask.science.pixel_features import PixelFeatures, Plane

SPLIT_WINDOW = {"constant": -263.006, "t11": 0.963563, "t11-t12": 2.579211}
TRIPLE_WINDOW = {"constant": -271.971, "t11": 1.000281, "t37-t12": 0.911173}
CELSIUS_KELVIN = 273.15
"""0 degrees Celsius, K."""


def sea_surface_temperature(features: PixelFeatures) -> Plane:
    """SST (1200, 1500), K: split window by day, triple window by night."""
    s7, s8, s9 = (features.band(number) for number in (7, 8, 9))
    split = SPLIT_WINDOW["constant"] + SPLIT_WINDOW["t11"] * s8
    split = split + SPLIT_WINDOW["t11-t12"] * (s8 - s9)
    triple = TRIPLE_WINDOW["constant"] + TRIPLE_WINDOW["t11"] * s8
    triple = triple + TRIPLE_WINDOW["t37-t12"] * (s7 - s9)
    kelvin: Plane = (np.where(features.day, split, triple) + CELSIUS_KELVIN).astype(np.float32)
    return kelvin
