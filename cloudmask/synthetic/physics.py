"""What the radiometer measures of a cloudy landscape: radiative transfer, and its noise.

Infrared: Planck radiances of ground and cloud layers, weighted by the transmittance above them.
Solar: two-stream reflectance of each layer, combined with that of the layers and ground below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from cloudmask.scenes.slstr import INFRARED_BANDS_UM, REFLECTANCES, TEMPERATURES
from cloudmask.synthetic.clouds import Layer
from cloudmask.synthetic.fields import Plane
from cloudmask.synthetic.landscape import LAPSE_RATE_KELVIN_PER_KM, Surface

# Degrees: of the scene, or of each pixel (1200, 1500); None by night.
SunZenith = float | Plane | None

# 2hc^2 in W um^4 m-2 sr-1 and hc/k in um K, from the CODATA 2018 constants.
FIRST_RADIATION_CONSTANT = 1.191042972e8
SECOND_RADIATION_CONSTANT = 1.438776877e4

CIRRUS_BAND = 3  # S4, 1.375 um

# Solar irradiance at the top of the atmosphere, W m-2 um-1, in S1-S6 and in S7, rounded from the
# reference solar spectrum of ASTM E-490.
SOLAR_IRRADIANCE = (1840.0, 1530.0, 960.0, 362.0, 245.0, 78.0)
SOLAR_IRRADIANCE_S7 = 11.0

# Reflectances in S1-S6 of pure surfaces, typical of published spectral libraries.
WATER = (0.045, 0.025, 0.015, 0.008, 0.008, 0.005)
VEGETATION = (0.09, 0.06, 0.40, 0.20, 0.21, 0.10)
DESERT = (0.18, 0.27, 0.34, 0.38, 0.43, 0.40)
SNOW = (0.93, 0.91, 0.86, 0.30, 0.12, 0.08)
SEA_ICE = (0.72, 0.68, 0.58, 0.15, 0.06, 0.04)
RAYLEIGH = (0.055, 0.028, 0.010, 0.0, 0.0, 0.0)

# Reflectance of an infinitely thick cloud: ice absorbs at 1.6 and 2.25 um, droplets much less.
THICK_WATER_CLOUD = (0.88, 0.88, 0.86, 0.70, 0.68, 0.52)
THICK_ICE_CLOUD = (0.90, 0.90, 0.88, 0.62, 0.34, 0.26)
DROPLETS_S7, CRYSTALS_S7 = 0.22, 0.03

# Two-stream reflectance of a conservative layer is x / (1 + x) with x = (1 - g) tau / 2, times
# about two from the infrared absorption optical depth to the visible scattering one.
BACKSCATTER_PER_DEPTH = 0.15

# Splitting of absorption between the bands: ice and droplets absorb more at 12 than at 11 um,
# and droplets scatter at 3.7 um what they do not absorb.
RELATIVE_DEPTH = (0.7, 1.0, 1.15)

# Deficit in kelvin per kg m-2 of water vapour along the line of sight in S7, S8 and S9; with
# the offset of S9 it gives split-window differences of 0.3 to 3 K.
VAPOUR_DEFICIT = (0.025, 0.045, 0.075)
DRY_SPLIT_KELVIN = 0.25
VAPOUR_SCALE_HEIGHT_KM = 2.0
CIRRUS_BAND_ABSORPTION = 0.5

# Noise-equivalent differences: kelvin at 270 K in S7, S8 and S9, and reflectance.
NOISE_KELVIN = (0.08, 0.05, 0.06)
NOISE_REFLECTANCE = 0.003
LEAST_SUN_COSINE = 0.05  # in the noise of a reflectance
COLDEST_KELVIN = 190.0


@dataclass(frozen=True)
class Measurement:
    """Channels of one scene, and the state of its clouds."""

    reflectances: NDArray[np.float32]  # S1-S6, (1200, 1500, 6); zeros by night
    temperatures: NDArray[np.float32]  # S7-S9 in kelvin, (1200, 1500, 3)
    optical_depth: Plane  # of all cloud layers together
    contrast_kelvin: Plane  # cooling by cloud: S8 without the clouds minus S8


def planck_radiance(wavelength_um: float, kelvin: Plane) -> Plane:
    """Black-body radiance, W m-2 sr-1 um-1."""
    exponent = np.float32(SECOND_RADIATION_CONSTANT / wavelength_um) / kelvin
    result: Plane = np.float32(FIRST_RADIATION_CONSTANT / wavelength_um**5) / np.expm1(exponent)
    return result


def brightness_temperature(wavelength_um: float, radiance: Plane) -> Plane:
    """Temperature in kelvin of the black body of this radiance (W m-2 sr-1 um-1)."""
    ratio = np.float32(FIRST_RADIATION_CONSTANT / wavelength_um**5) / radiance
    result: Plane = np.float32(SECOND_RADIATION_CONSTANT / wavelength_um) / np.log1p(ratio)
    return result


def measure(
    surface: Surface,
    layers: list[Layer],
    sun_zenith_degrees: SunZenith,
    shadow: Plane | None = None,
) -> Measurement:
    """Simulate the channels without noise.

    Args:
        sun_zenith_degrees: one for the scene or one of each pixel; None by night.
        shadow: factor of the sunlight on the ground, of each pixel.
    """
    shape = surface.temperature.shape
    depth = np.zeros(shape, np.float32)
    for layer in layers:
        depth += layer.optical_depth
    sun_cosine = _sun_cosine(sun_zenith_degrees)
    reflectances = np.zeros((*shape, REFLECTANCES), np.float32)
    if np.any(sun_cosine):
        for band in range(REFLECTANCES):
            reflectances[..., band] = _sunlight(surface, layers, band, shadow)
    temperatures = np.empty((*shape, TEMPERATURES), np.float32)
    for band, wavelength in enumerate(INFRARED_BANDS_UM):
        radiance, clear = _infrared(surface, layers, band, sun_cosine)
        temperatures[..., band] = brightness_temperature(wavelength, radiance)
        if band == 1:
            contrast = brightness_temperature(wavelength, clear) - temperatures[..., band]
    return Measurement(reflectances, temperatures, depth, contrast)


def add_noise(
    rng: Generator, measurement: Measurement, day: bool, sun_cosine: Plane | None = None
) -> None:
    """Add the radiometer's noise to the channels, in place.

    With the sun's cosine of each pixel, the noise of a reflectance grows under a low sun and goes
    below 0; otherwise reflectances are at least 0.
    """
    temperatures, reflectances = measurement.temperatures, measurement.reflectances
    shape = measurement.optical_depth.shape
    for band, noise in enumerate(NOISE_KELVIN):
        plane = rng.standard_normal(shape, dtype=np.float32) * np.float32(noise)
        if band == 0:
            # Noise is constant in radiance, and Planck's curve is steep at 3.7 um when cold.
            plane *= np.exp(np.clip((270 - temperatures[..., 0]) * np.float32(0.05), 0, 3))
        temperatures[..., band] += plane
    if day:
        for band in range(REFLECTANCES):
            noise_plane = rng.standard_normal(shape, dtype=np.float32)
            if sun_cosine is not None:
                noise_plane /= np.maximum(sun_cosine, np.float32(LEAST_SUN_COSINE))
            reflectances[..., band] += np.float32(NOISE_REFLECTANCE) * noise_plane
        if sun_cosine is None:
            np.maximum(reflectances, 0, out=reflectances)


def solar_radiances(
    reflectances: NDArray[np.float32], sun_zenith_degrees: SunZenith
) -> NDArray[np.float32]:
    """Radiances of S1-S6 in W m-2 sr-1 um-1, shaped as `reflectances`; zeros by night."""
    cosine = np.asarray(_sun_cosine(sun_zenith_degrees))[..., None]
    per_reflectance = np.array(SOLAR_IRRADIANCE) * cosine / np.pi
    radiances: NDArray[np.float32] = reflectances * per_reflectance.astype(np.float32)
    return radiances


def _sun_cosine(zenith_degrees: SunZenith) -> float | Plane:
    if zenith_degrees is None:
        return 0.0
    cosine: Plane = np.maximum(np.cos(np.radians(zenith_degrees)), 0)
    return cosine


def _sunlight(surface: Surface, layers: list[Layer], band: int, shadow: Plane | None) -> Plane:
    total = _ground_reflectance(surface, band)
    if shadow is not None:
        total *= shadow
    if band == CIRRUS_BAND:
        total *= _two_way_transmittance(surface.water_vapour)
    for layer in layers:
        scattering = np.float32(BACKSCATTER_PER_DEPTH) * layer.optical_depth
        limit = layer.ice * THICK_ICE_CLOUD[band] + (1 - layer.ice) * THICK_WATER_CLOUD[band]
        diffuse = scattering / (1 + scattering)
        passed = 1 - diffuse
        cloud = np.float32(limit) * diffuse
        total *= passed**2 / (1 - cloud * np.minimum(total, 1))
        if band == CIRRUS_BAND:
            cloud *= _two_way_transmittance(surface.water_vapour * _vapour_above(surface, layer))
        total += cloud
    return total


def _ground_reflectance(surface: Surface, band: int) -> Plane:
    green = surface.vegetation
    bare = np.float32(VEGETATION[band]) * green + np.float32(DESERT[band]) * (1 - green)
    land = bare + surface.snow * (np.float32(SNOW[band]) - bare)
    water = np.float32(WATER[band]) + surface.glint
    ground = np.where(surface.sea, water, np.where(surface.ice, np.float32(SEA_ICE[band]), land))
    result: Plane = (ground + np.float32(RAYLEIGH[band])).astype(np.float32)
    return result


def _infrared(
    surface: Surface, layers: list[Layer], band: int, sun_cosine: float | Plane
) -> tuple[Plane, Plane]:
    """Radiance of the scene, and of the scene without cloud."""
    wavelength = INFRARED_BANDS_UM[band]
    deficit = np.float32(VAPOUR_DEFICIT[band]) * surface.water_vapour
    if wavelength == INFRARED_BANDS_UM[-1]:
        deficit += np.float32(DRY_SPLIT_KELVIN)
    sunlight = np.asarray(sun_cosine * SOLAR_IRRADIANCE_S7 / np.pi if band == 0 else 0, np.float32)
    clear = planck_radiance(wavelength, surface.temperature - deficit)
    if band == 0:
        reflected = _ground_reflectance_s7(surface)
        clear *= 1 - np.minimum(reflected, np.float32(0.15))
        clear += reflected * sunlight
    radiance = clear.copy()
    for layer in layers:
        passed = np.exp(np.float32(-RELATIVE_DEPTH[band]) * layer.optical_depth)
        top = layer.temperature - deficit * _vapour_above(surface, layer)
        emitted = planck_radiance(wavelength, np.maximum(top, np.float32(COLDEST_KELVIN)))
        if band == 0:
            scattered = np.float32(layer.ice * CRYSTALS_S7 + (1 - layer.ice) * DROPLETS_S7)
            emitted *= 1 - scattered
            emitted += scattered * sunlight
        radiance *= passed
        radiance += emitted * (1 - passed)
    return radiance, clear


def _ground_reflectance_s7(surface: Surface) -> Plane:
    bare = np.float32(0.03) * surface.vegetation + np.float32(0.09) * (1 - surface.vegetation)
    land = bare * (1 - surface.snow) + np.float32(0.01)
    ground = np.where(surface.sea, 0.02 + 0.7 * surface.glint, np.where(surface.ice, 0.02, land))
    return ground.astype(np.float32)


def _vapour_above(surface: Surface, layer: Layer) -> Plane:
    """Fraction of the water vapour above a layer, whose height follows from the lapse rate."""
    height_km = np.maximum(surface.air - layer.temperature, 0) / LAPSE_RATE_KELVIN_PER_KM
    result: Plane = np.exp(height_km.astype(np.float32) / np.float32(-VAPOUR_SCALE_HEIGHT_KM))
    return result


def _two_way_transmittance(water_vapour: Plane) -> Plane:
    result: Plane = np.exp(np.float32(-CIRRUS_BAND_ABSORPTION) * water_vapour)
    return result
