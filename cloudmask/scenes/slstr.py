"""Facts about SLSTR, the radiometer of Sentinel-3: its grid, its channels, their normalisation.

Band centres: Sentinel-3 SLSTR user guide, ESA. Normalisation: the CloudMask reference pipeline.
"""

from __future__ import annotations

# Nadir view of a three-minute product: 1 km pixels, and 0.5 km pixels for S1-S6.
ROWS, COLUMNS = 1200, 1500
GRID_1KM = (ROWS, COLUMNS)
GRID_500M = (2 * ROWS, 2 * COLUMNS)
# A rectangle of 1 km pixels: rows, columns.
Region = tuple[slice, slice]
WHOLE_SCENE: Region = (slice(0, ROWS), slice(0, COLUMNS))

# Reflectances S1-S6 come first, then the brightness temperatures S7-S9.
CHANNEL_NAMES = ("S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "S9")
REFLECTANCES, TEMPERATURES = 6, 3
CHANNELS = REFLECTANCES + TEMPERATURES
INFRARED_BANDS_UM = (3.74, 10.85, 12.0)

# normalised = (reflectance - 0.5) and (kelvin - 270) / 22
REFLECTANCE_OFFSET = 0.5
TEMPERATURE_OFFSET_KELVIN = 270.0
TEMPERATURE_SCALE_KELVIN = 22.0

# Outside these bounds a value is no measurement but a fill value (-32768, -9999, -999, 9999,
# 65535 ...). Reflectance of bright cloud under a low sun exceeds 1, and noise goes below 0; SLSTR's
# fire channels, the widest, end at 500 K. Kelvin 0 is DS1's own value for missing.
REFLECTANCE_BOUNDS = (-1.0, 10.0)
TEMPERATURE_BOUNDS_KELVIN = (0.0, 500.0)
