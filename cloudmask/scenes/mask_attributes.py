"""Global attributes of masks by CF-1.8 and ACDD-1.3: where a mask comes from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cloudmask
from cloudmask.scenes.baseline import REFLECTANCE_SCALE, View

UTC = "%Y-%m-%dT%H:%M:%SZ"
SENSING_TIMES = re.compile(r"_(\d{8}T\d{6})_(\d{8}T\d{6})_")
PLATFORM = re.compile(r"^S3([AB])_")
WITHOUT_POSITIONS = "the input has no positions: pixels are known by row and column alone"
LONGITUDE_BINS = 360

Geolocation = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class Provenance:
    """Where a mask comes from.

    Attributes:
        product: name of the scene or product, without suffixes.
        weights: file name of the weights.
        trained_on: the data that the weights were trained on, in words.
        card: of the weights, as JSON.
        command: the command or call that made the mask, with its arguments.
        threshold: above this probability a pixel is cloud.
        tiling: of the network's inference.
        baseline: number of the processing baseline, if known.
    """

    product: str
    weights: str
    weights_sha256: str
    command: str
    trained_on: str = "unknown scenes"
    card: str = "{}"
    threshold: float = 0.5
    tiling: str = "whole"
    view: View = "nadir"
    baseline: int | None = None

    def attributes(self, geolocation: Geolocation | None) -> dict[str, Any]:
        """Global attributes; sensing times and platform are those of the product's name."""
        now = f"{datetime.now(timezone.utc):{UTC}}"
        software = f"cloudmask {cloudmask.__version__}"
        attributes = {
            "Conventions": "CF-1.8, ACDD-1.3",
            "title": "Cloud mask of a Sentinel-3 SLSTR scene",
            "summary": "For each pixel, the probability that the operational Bayesian screen would "
            "flag cloud, as a U-Net estimates it, with mask, flags and quality level. "
            f"The U-Net was trained on {self.trained_on}.",
            "keywords": "cloud mask, SLSTR, Sentinel-3, sea surface temperature",
            "source": f"U-Net of {software} on {self.product}",
            "history": f"{now} {software}: {self.command}",
            "references": "MLCommons Science, CloudMask benchmark",
            "date_created": now,
            "cdm_data_type": "Swath",
            "processing_level": "Level 2",
            "instrument": "SLSTR",
            "view": self.view,
            "reflectance_scale": REFLECTANCE_SCALE,
            "source_product": self.product,
            "software_version": cloudmask.__version__,
            **self.made_with(),
            "weights": self.weights,
            "weights_trained_on": self.trained_on,
            "weights_card": self.card,
            **_of_name(self.product),
        }
        if self.baseline is not None:
            attributes["processing_baseline"] = f"{self.baseline:03d}"
        return attributes | _bounds(geolocation)

    def made_with(self) -> dict[str, Any]:
        """What decides a mask of a given scene: masks with equal values are equal."""
        return {
            "weights_sha256": self.weights_sha256,
            "cloud_threshold": self.threshold,
            "tiling": self.tiling,
        }


def _of_name(product: str) -> dict[str, str]:
    attributes = {}
    if found := PLATFORM.search(product):
        attributes["platform"] = f"Sentinel-3{found[1]}"
    if times := SENSING_TIMES.search(product):
        for name, time in zip(("start", "end"), times.groups(), strict=True):
            iso = f"{datetime.strptime(time, '%Y%m%dT%H%M%S'):{UTC}}"
            attributes[f"time_coverage_{name}"] = iso
    return attributes


def _bounds(geolocation: Geolocation | None) -> dict[str, Any]:
    """Bounds in degrees; the west end is above the east end where the 180th meridian is crossed."""
    if geolocation is None:
        return {"comment": WITHOUT_POSITIONS}
    latitude, longitude = (values[np.isfinite(values)] for values in geolocation)
    if not (latitude.size and longitude.size):
        return {"comment": WITHOUT_POSITIONS}
    west, east = _longitude_bounds(longitude)
    return {
        "geospatial_lat_min": float(latitude.min()),
        "geospatial_lat_max": float(latitude.max()),
        "geospatial_lon_min": west,
        "geospatial_lon_max": east,
        "geospatial_lat_units": "degrees_north",
        "geospatial_lon_units": "degrees_east",
    }


def _longitude_bounds(longitude: NDArray[np.float32]) -> tuple[float, float]:
    """West and east end of what lies outside the widest gap on the circle of longitudes."""
    wrapped = (longitude.astype(np.float64) + 180) % 360 - 180
    occupied = np.unique(np.floor(wrapped).astype(int))
    gaps = np.diff(np.append(occupied, occupied[0] + LONGITUDE_BINS))
    widest = int(gaps.argmax())
    if gaps[widest] <= 1:
        return -180.0, 180.0
    ends = occupied[(widest + 1) % len(occupied)], occupied[widest]
    west, east = (wrapped[np.floor(wrapped) == end] for end in ends)
    return float(west.min()), float(east.max())
