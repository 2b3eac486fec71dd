"""Small scenes of one kind of pixel."""

import numpy as np

from cloudmask.science.pixel_features import Classification, PixelFeatures

SHAPE = (60, 80)
SQUARE = (slice(20, 40), slice(30, 50))
MIDDLE = (30, 40)
"""A pixel of the square whose neighbours belong to it, too."""

CLEAR_SEA_DAY = (0.09, 0.05, 0.025, 0.01, 0.01, 0.005, 289.5, 288.0, 287.0)
CLEAR_SEA_NIGHT = (0, 0, 0, 0, 0, 0, 288.5, 288.0, 287.0)
CLEAR_LAND_DAY = (0.1, 0.1, 0.2, 0.01, 0.1, 0.1, 295.0, 290.0, 289.0)


def uniform_scene(pixel, square=None, surface="sea"):
    """A scene of one kind of pixel, with a square of another kind; None: surface not known."""
    channels = np.full((*SHAPE, 9), pixel, np.float32)
    if square is not None:
        channels[SQUARE] = square
    classes = Classification(np.ones(SHAPE, np.uint8), {1: surface}) if surface else None
    return PixelFeatures(channels, classes)


def with_bands(pixel, **bands):
    """The pixel with other values, by the names of their bands, s1 to s9."""
    values = list(pixel)
    for name, value in bands.items():
        values[int(name[1]) - 1] = value
    return values
