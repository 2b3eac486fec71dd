"""Radiative transfer on single pixels, worked out by hand, and the radiometer's noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cloudmask.synthetic.clouds import Layer
from cloudmask.synthetic.landscape import Surface
from cloudmask.synthetic.physics import (
    Measurement,
    add_noise,
    brightness_temperature,
    measure,
    planck_radiance,
    solar_radiances,
)

BANDS_UM = (3.74, 10.85, 12.0)


def plane(value: Any, dtype: Any = np.float32) -> Any:
    return np.full((1, 1), value, dtype)


def ground(kelvin: float = 290, vapour: float = 0, **changes: float) -> Surface:
    """One pixel of open sea without wind or haze, or as changed."""
    values = {"snow": 0.0, "vegetation": 0.0, "glint": 0.0, **changes}
    sea, ice = bool(values.pop("sea", True)), bool(values.pop("ice", False))
    return Surface(
        temperature=plane(kelvin),
        air=plane(290),
        water_vapour=plane(vapour),
        sea=plane(sea, bool),
        ice=plane(ice, bool),
        **{name: plane(value) for name, value in values.items()},
    )


def cloud(depth: float, kelvin: float, ice: float = 0.0) -> Layer:
    return Layer("cloud", plane(depth), plane(kelvin), ice)


def kelvin(surface: Surface, *layers: Layer, sun: float | None = None) -> Any:
    """S7, S8 and S9 of the pixel."""
    return measure(surface, list(layers), sun).temperatures[0, 0]


def reflectances(surface: Surface, *layers: Layer, sun: float | None = 0.0) -> Any:
    """S1 to S6 of the pixel, by default with the sun overhead."""
    return measure(surface, list(layers), sun).reflectances[0, 0]


def planck(um: float, kelvin: float) -> float:
    """2hc^2 / (w^5 (exp(hc / wkT) - 1)) in SI units, per um."""
    h, c, k, w = 6.62607015e-34, 299792458.0, 1.380649e-23, um * 1e-6
    return 2 * h * c**2 / (w**5 * (np.exp(h * c / (w * k * kelvin)) - 1)) * 1e-6


def temperature(um: float, radiance: float) -> float:
    return float(brightness_temperature(um, np.float32([radiance]))[0])


@pytest.mark.parametrize("um", BANDS_UM)
@pytest.mark.parametrize("kelvin", [220, 300])
def test_planck_radiance_is_that_of_a_black_body(um: float, kelvin: float) -> None:
    radiance = planck_radiance(um, np.float32([kelvin]))[0]
    assert radiance == pytest.approx(planck(um, kelvin), rel=1e-5)


@pytest.mark.parametrize("um", BANDS_UM)
def test_brightness_temperature_inverts_planck(um: float) -> None:
    kelvin = np.linspace(195, 330, 200, dtype=np.float32)
    back = brightness_temperature(um, planck_radiance(um, kelvin))
    np.testing.assert_allclose(back, kelvin, atol=0.01)


def test_clear_sea_by_night_is_as_warm_as_its_skin_less_the_absorption_of_vapour() -> None:
    s7 = temperature(3.74, 0.98 * planck(3.74, 290))
    assert kelvin(ground()) == pytest.approx([s7, 290, 289.75], abs=0.01)
    s7 = temperature(3.74, 0.98 * planck(3.74, 290 - 20 * 0.025))
    expected = [s7, 290 - 20 * 0.045, 290 - 20 * 0.075 - 0.25]
    assert kelvin(ground(vapour=20)) == pytest.approx(expected, abs=0.01)


def test_opaque_cloud_is_as_cold_as_its_top_and_never_below_190_kelvin() -> None:
    assert kelvin(ground(), cloud(50, 250))[1] == pytest.approx(250, abs=0.01)
    assert kelvin(ground(), cloud(50, 150))[1] == pytest.approx(190, abs=0.01)


def test_the_vapour_above_a_cloud_falls_with_its_height() -> None:
    """Its height follows from 6.5 K per km; the scale height of vapour is 2 km."""
    for top in (280, 250):
        above = np.exp(-(290 - top) / 6.5 / 2)
        expected = [top - 20 * 0.045 * above, top - (20 * 0.075 + 0.25) * above]
        found = kelvin(ground(vapour=20), cloud(50, top))[1:]
        assert found == pytest.approx(expected, abs=0.01)


def test_translucent_cloud_mixes_the_radiances_of_ground_and_top() -> None:
    found = measure(ground(), [cloud(0.5, 250)], None)
    passed = np.exp(-0.5 * 0.7)
    emitted = passed * 0.98 * planck(3.74, 290) + (1 - passed) * 0.78 * planck(3.74, 250)
    s7 = temperature(3.74, emitted)
    passed = np.exp(-0.5)
    s8 = temperature(10.85, passed * planck(10.85, 290) + (1 - passed) * planck(10.85, 250))
    passed = np.exp(-0.5 * 1.15)
    top = 250 - 0.25 * np.exp(-(290 - 250) / 6.5 / 2)
    s9 = temperature(12, passed * planck(12, 289.75) + (1 - passed) * planck(12, top))
    assert found.temperatures[0, 0] == pytest.approx([s7, s8, s9], abs=0.01)
    assert found.contrast_kelvin[0, 0] == pytest.approx(290 - s8, abs=0.01)
    assert found.optical_depth[0, 0] == 0.5


def test_the_upper_of_two_layers_hides_the_lower() -> None:
    low, high = cloud(50, 280), cloud(50, 230)
    assert kelvin(ground(), low, high)[1] == pytest.approx(230, abs=0.01)
    assert measure(ground(), [low, high], None).optical_depth[0, 0] == 100


@pytest.mark.parametrize(("ice", "scattered"), [(0.0, 0.22), (1.0, 0.03)])
def test_cloud_reflects_the_sun_at_3_7_um(ice: float, scattered: float) -> None:
    sunlight = 11 * 0.5 / np.pi
    expected = temperature(3.74, (1 - scattered) * planck(3.74, 250) + scattered * sunlight)
    assert kelvin(ground(), cloud(50, 250, ice), sun=60)[0] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("surface", "expected"),
    [
        (ground(), (0.100, 0.053, 0.025, 0.008, 0.008, 0.005)),
        (ground(glint=0.2), (0.300, 0.253, 0.225, 0.208, 0.208, 0.205)),
        (ground(sea=0), (0.235, 0.298, 0.350, 0.380, 0.430, 0.400)),
        (ground(sea=0, vegetation=1), (0.145, 0.088, 0.410, 0.200, 0.210, 0.100)),
        (ground(sea=0, snow=1), (0.985, 0.938, 0.870, 0.300, 0.120, 0.080)),
        (ground(sea=0, ice=1), (0.775, 0.708, 0.590, 0.150, 0.060, 0.040)),
    ],
    ids=["sea", "glint", "desert", "vegetation", "snow", "ice"],
)
def test_clear_ground_has_the_reflectances_of_its_kind(surface: Surface, expected: Any) -> None:
    assert reflectances(surface) == pytest.approx(expected, abs=1e-5)


def test_water_vapour_absorbs_at_1_375_um_alone() -> None:
    expected = [0.100, 0.053, 0.025, 0.008 * np.exp(-5), 0.008, 0.005]
    assert reflectances(ground(vapour=10)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("ice", "limit"), [(0.0, 0.88), (1.0, 0.90)])
def test_cloud_reflects_by_its_optical_depth_and_passes_light_of_the_ground(
    ice: float, limit: float
) -> None:
    diffuse = 0.15 * 10 / (1 + 0.15 * 10)
    reflected = limit * diffuse
    expected = reflected + 0.1 * (1 - diffuse) ** 2 / (1 - reflected * 0.1)
    assert reflectances(ground(), cloud(10, 250, ice))[0] == pytest.approx(expected, abs=1e-5)


def test_by_night_nothing_is_reflected() -> None:
    assert not reflectances(ground(), cloud(10, 250), sun=None).any()
    assert not solar_radiances(np.ones((1, 1, 6), np.float32), None).any()


def test_radiance_is_reflectance_times_the_irradiance_of_the_channel() -> None:
    found = solar_radiances(np.full((1, 1, 6), 0.4, np.float32), 60.0)[0, 0]
    irradiance = np.array([1840, 1530, 960, 362, 245, 78])
    assert found == pytest.approx(0.4 * irradiance * 0.5 / np.pi, rel=1e-5)


def test_noise_makes_no_reflectance_negative() -> None:
    measurement = measure_of(np.zeros((30, 30, 6), np.float32), 290)
    add_noise(np.random.default_rng(0), measurement, day=True)
    assert measurement.reflectances.min() == 0
    assert measurement.reflectances.max() > 0


def measure_of(refs: Any, kelvin: float) -> Measurement:
    """A clear scene of these reflectances and one temperature."""
    clear = np.zeros(refs.shape[:2], np.float32)
    return Measurement(refs, np.full((*refs.shape[:2], 3), kelvin, np.float32), clear, clear)


def noise(kelvin: float, day: bool) -> tuple[Any, Any]:
    """Standard deviation of the noise in S7-S9 and in S1-S6."""
    measurement = measure_of(np.full((300, 300, 6), 0.5 if day else 0, np.float32), kelvin)
    add_noise(np.random.default_rng(0), measurement, day)
    bts, refs = measurement.temperatures, measurement.reflectances
    assert bts.mean() == pytest.approx(kelvin, abs=0.02)
    return bts.std(axis=(0, 1)), refs.std(axis=(0, 1))


def test_noise_is_that_of_the_radiometer() -> None:
    temperatures, solar = noise(270, day=True)
    assert temperatures == pytest.approx([0.08, 0.05, 0.06], rel=0.02)
    assert solar == pytest.approx([0.003] * 6, rel=0.02)
    assert not noise(270, day=False)[1].any()


@pytest.mark.parametrize(("kelvin", "factor"), [(290, 1), (250, np.e), (190, np.e**3)])
def test_noise_at_3_7_um_grows_with_cold(kelvin: float, factor: float) -> None:
    expected = [0.08 * factor, 0.05, 0.06]
    assert noise(kelvin, day=True)[0] == pytest.approx(expected, rel=0.02)
