"""Cloud layers of a synthetic scene: fog, stratus, cumulus, thick cloud and cirrus."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from cloudmask.synthetic.climate import Climate
from cloudmask.synthetic.fields import (
    Plane,
    cellular_field,
    excess_over,
    random_field,
    upper_quantile,
)
from cloudmask.synthetic.landscape import Surface


@dataclass(frozen=True)
class Layer:
    """One cloud layer, each plane (1200, 1500)."""

    name: str
    optical_depth: Plane  # absorption at 10.85 um; 0 without cloud
    temperature: Plane  # of the cloud top, K
    ice: float  # fraction of ice; the rest is droplets


@dataclass(frozen=True)
class Amounts:
    """How much cloud a scene has; pairs are ranges from which a scene draws its value."""

    fog: tuple[float, float] = (0.03, 0.05)  # share of the scene, of each layer
    stratus: tuple[float, float] = (0.11, 0.15)
    cumulus: tuple[float, float] = (0.14, 0.19)
    thick: tuple[float, float] = (0.28, 0.34)
    cirrus: tuple[float, float] = (0.13, 0.17)
    stratus_below_kelvin: tuple[float, float] = (2, 8)  # air minus cloud top
    opacity: float = 1.0  # factor of the optical depth of fog, stratus, cumulus and cirrus


DEFAULT_AMOUNTS = Amounts()


def make_clouds(
    rng: Generator, climate: Climate, surface: Surface, amounts: Amounts = DEFAULT_AMOUNTS
) -> list[Layer]:
    """Draw the cloud layers of one scene, lowest first."""
    air, cold = surface.air, np.float32(climate.coldest_top_kelvin)

    patches = random_field(rng, 3.0, 200, inner_km=2)
    excess = excess_over(patches, rng.uniform(*amounts.fog))
    lift = np.clip(air - np.float32(0.5) * np.abs(patches), surface.temperature - 1, None)
    fog_kelvin = np.minimum(lift, surface.temperature + np.float32(0.5))
    fog = Layer("fog", 6 * excess ** np.float32(0.7), fog_kelvin, 0.0)

    sheet = random_field(rng, 2.4, 400)
    excess = excess_over(sheet, rng.uniform(*amounts.stratus))
    cells = cellular_field(rng, 22, 0.5)
    depth = 9 * np.sqrt(excess) * np.exp(np.float32(0.6) * cells)
    least, most = amounts.stratus_below_kelvin
    centre = least + (most - least) * np.float32(2 / 3)
    below = np.clip(centre + 2 * random_field(rng, 3.0, 250) + np.float32(0.4) * cells, least, most)
    stratus = Layer("stratus", depth, air - below, 0.0)

    region = random_field(rng, 2.6, 350)
    field = np.float32(0.7) * cellular_field(rng, 13, 0.9) + np.float32(0.6) * random_field(
        rng, 1.6, 25
    )
    # Cells become thinner towards the edge of their region.
    crowding = region - upper_quantile(region, rng.uniform(*amounts.cumulus))
    excess = np.maximum(field - np.maximum(np.float32(0.5) - crowding, 0), 0) * (crowding > -0.5)
    cumulus = Layer("cumulus", 12 * excess, air - (5 + 7 * excess), 0.0)

    system = random_field(rng, 2.3, 600)
    excess = excess_over(system, rng.uniform(*amounts.thick))
    texture = random_field(rng, 1.7, 50)
    depth = 12 * excess * np.exp(np.float32(0.5) * texture)
    rise = np.clip(0.25 + 0.55 * excess + np.float32(0.05) * texture, 0.15, 1)
    thick = Layer("thick", depth, air - rise * np.maximum(air - cold, 10), 0.8)

    angle = rng.uniform(0, np.pi)
    streaks = random_field(rng, 2.1, 300, elongation=1.7, angle=angle)
    excess = excess_over(streaks, rng.uniform(*amounts.cirrus))
    cirrus_kelvin = np.float32(rng.uniform(6, 18)) + cold + 3 * texture
    depth = np.minimum(np.float32(3) * excess ** np.float32(0.8), 4)
    cirrus = Layer("cirrus", depth, np.minimum(cirrus_kelvin, air - 15), 1.0)

    opacity = np.float32(amounts.opacity)
    return [
        Layer(
            layer.name,
            (layer.optical_depth * (1 if layer is thick else opacity)).astype(np.float32),
            layer.temperature.astype(np.float32),
            layer.ice,
        )
        for layer in (fog, stratus, cumulus, thick, cirrus)
    ]
