"""Masks as files: CF-conformant NetCDF-4, or the reference pipeline's HDF5."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
from numpy.typing import NDArray

import cloudmask
from cloudmask.scenes.hdf5 import replacing_hdf5

# A pixel is cloud where its probability is above this, as in the reference.
CLOUD_PROBABILITY = 0.5

FILL_MASK, FILL_VALUE = np.int8(-1), np.float32(np.nan)
UTC = "%Y-%m-%dT%H:%M:%SZ"

# A few chunks a scene: small enough to look at a part, large enough to compress.
CHUNK = (400, 500)
COMPRESSION = {"compression": "gzip", "compression_opts": 4, "shuffle": True}

SENSING_TIMES = re.compile(r"_(\d{8}T\d{6})_(\d{8}T\d{6})_")


@dataclass(frozen=True)
class Provenance:
    """Where a mask comes from.

    Attributes:
        product: name of the scene or product, without suffixes.
        weights: file name of the weights.
        command: the command that was run, with its arguments.
    """

    product: str
    weights: str
    weights_sha256: str
    command: str

    def attributes(self) -> dict[str, str]:
        """Global attributes of CF-1.8, and of ACDD-1.3 for sensing times in the product's name."""
        now = f"{datetime.now(timezone.utc):{UTC}}"
        software = f"cloudmask {cloudmask.__version__}"
        attributes = {
            "Conventions": "CF-1.8",
            "title": "Cloud mask of a Sentinel-3 SLSTR scene",
            "source": f"U-Net of {software} on {self.product}",
            "history": f"{now} {software}: {self.command}",
            "references": "MLCommons Science, CloudMask benchmark",
            "date_created": now,
            "source_product": self.product,
            "software_version": cloudmask.__version__,
            "weights": self.weights,
            "weights_sha256": self.weights_sha256,
        }
        if times := SENSING_TIMES.search(self.product):
            for name, time in zip(("start", "end"), times.groups(), strict=True):
                iso = f"{datetime.strptime(time, '%Y%m%dT%H%M%S'):{UTC}}"
                attributes[f"time_coverage_{name}"] = iso
        return attributes


def is_cloud(probability: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where the probability is above `CLOUD_PROBABILITY`; False where it is NaN."""
    return probability > CLOUD_PROBABILITY


def write_netcdf(
    path: Path,
    probability: NDArray[np.float32],
    geolocation: tuple[NDArray[np.float32], NDArray[np.float32]] | None,
    provenance: Provenance,
) -> None:
    """Write `cloud_probability` and `cloud_mask`, both (rows, columns), missing where it is NaN.

    `geolocation` is latitude and longitude of the pixels in degrees.

    Raises:
        OSError: the file cannot be written; an earlier one is kept.
    """
    mask = np.where(np.isnan(probability), FILL_MASK, is_cloud(probability).astype(np.int8))
    variables: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
        "cloud_probability": (
            probability,
            {
                "long_name": "probability of cloud",
                "units": "1",
                "ancillary_variables": "cloud_mask",
            },
        ),
        "cloud_mask": (
            mask,
            {
                "long_name": f"cloud mask, probability above {CLOUD_PROBABILITY}",
                "standard_name": "cloud_binary_mask",
                "units": "1",
                "flag_values": np.array([0, 1], np.int8),
                "flag_meanings": "clear cloud",
            },
        ),
    }
    if geolocation is not None:
        for _, attributes in variables.values():
            attributes["coordinates"] = "latitude longitude"
        for name, values, unit in zip(
            ("latitude", "longitude"), geolocation, ("degrees_north", "degrees_east"), strict=True
        ):
            variables[name] = (values, {"standard_name": name, "units": unit})

    dimensions = ("rows", "columns")
    with replacing_hdf5(path, h5netcdf.File) as file:
        file.attrs.update(_netcdf_text(provenance.attributes()))
        file.dimensions = dict(zip(dimensions, probability.shape, strict=True))
        for name, (values, attributes) in variables.items():
            fill = FILL_MASK if values.dtype == FILL_MASK.dtype else FILL_VALUE
            variable = file.create_variable(
                name, dimensions, values.dtype, data=values, fillvalue=fill, **_storage(values)
            )
            variable.attrs.update(_netcdf_text(attributes))


def write_hdf5(path: Path, probability: NDArray[np.float32]) -> None:
    """Write the layout of the reference pipeline: `mask` (rows, columns) uint8, 1 where cloud.

    The layout has no value for missing pixels: they are 0.

    Raises:
        OSError: the file cannot be written; an earlier one is kept.
    """
    with replacing_hdf5(path) as file:
        mask = is_cloud(probability).astype(np.uint8)
        file.create_dataset("mask", data=mask, **_storage(mask))


def _storage(values: NDArray[Any]) -> dict[str, Any]:
    """Chunks and compression; HDF5 refuses chunks larger than the data."""
    return {"chunks": tuple(map(min, CHUNK, values.shape)), **COMPRESSION}


def _netcdf_text(attributes: dict[str, Any]) -> dict[str, Any]:
    """Text as NetCDF characters in UTF-8 instead of HDF5 strings: every reader knows them."""
    return {
        name: _characters(value) if isinstance(value, str) else value
        for name, value in attributes.items()
    }


def _characters(text: str) -> NDArray[Any]:
    # A file's name may have bytes that are no UTF-8.
    encoded = text.encode("utf-8", "backslashreplace")
    return np.array(encoded, h5py.string_dtype("utf-8", max(len(encoded), 1)))
