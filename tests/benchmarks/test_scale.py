"""The benchmark of scale: its exponents, and that a stage can be measured."""

from __future__ import annotations

import math

import pytest

from benchmarks.scale import exponent, measure


def rows(*pairs: tuple[int, float]) -> list[dict[str, float]]:
    return [{"size": size, "cpu": seconds} for size, seconds in pairs]


def test_the_exponent_is_that_between_the_two_largest_sizes():
    growth = rows((10, 0.2), (100, 0.3), (1000, 30.0))
    assert exponent(growth, "cpu", 0.05) == pytest.approx(2)


def test_sizes_that_take_too_little_to_show_growth_are_left_out():
    assert exponent(rows((10, 0.1), (100, 0.01), (1000, 1.0)), "cpu", 0.05) == pytest.approx(0.5)
    assert math.isnan(exponent(rows((10, 0.01), (100, 1.0)), "cpu", 0.05))


def test_a_measurement_has_time_and_memory():
    found = measure("listing", 10)
    assert found["size"] == 10
    assert found["seconds"] > 0
    assert found["cpu"] >= 0
    assert found["mib"] >= 0
