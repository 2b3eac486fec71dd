"""Masks in Python: `cloudmask.mask` gives what `cloudmask infer` writes, as an `xarray.Dataset`."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cloudmask.errors import InputError
from cloudmask.inference.lazy import lazy_mask
from cloudmask.inference.masker import Masker, NetworkOptions
from cloudmask.inference.whole_scene import Tiling
from cloudmask.model.weights import LATEST, find_weights
from cloudmask.scenes.baseline import View, baseline_of
from cloudmask.scenes.mask_attributes import Geolocation
from cloudmask.scenes.mask_files import DIMENSIONS, POSITIONS, axes, positions
from cloudmask.scenes.mask_variables import CLOUD_PROBABILITY, Variable, mask_variables
from cloudmask.scenes.readers import product_name, read_scene
from cloudmask.scenes.scene import make_scene
from cloudmask.scenes.slstr import CHANNEL_NAMES, REFLECTANCES, TEMPERATURES

if TYPE_CHECKING:
    import xarray as xr

WANTED = (
    "give reflectances S1 to S6 and brightness temperatures S7 to S9 in kelvin, each (rows, "
    "columns) on the 1 km grid, or refs (rows, columns, 6) and bts (rows, columns, 3)"
)


def mask(
    scene: str | Path | xr.Dataset,
    weights: str | Path = LATEST,
    *,
    threshold: float = CLOUD_PROBABILITY,
    tiling: Tiling = "whole",
    view: View = "nadir",
) -> xr.Dataset:
    """Mask one scene.

    Args:
        scene: an HDF5 scene or a product (`.SEN3` folder or zip); or a data set with variables
            S1 to S9, or `refs` and `bts`, and optionally `latitude` and `longitude`. Reflectances
            whose attribute `units` is '%' are divided by 100. Where variables are dask arrays, the
            mask is computed when it is asked for, part by part.
        weights: a weights file, a folder for its newest, or 'latest'.
        threshold: a pixel is cloud where its probability is above it; 0.1 for clear sky of
            probability 0.9.
        tiling: 'whole' or 'reference', as in `infer`; dask arrays need 'whole'.
        view: of a product, 'nadir' or 'oblique'.

    Returns:
        `cloud_probability`, `cloud_mask`, `pixel_flags` and `quality_level` (rows, columns), as
        `xarray.open_dataset` reads them from the NetCDF file that `infer` writes.

    Raises:
        InputError: the scene or the weights cannot be used, or xarray is not installed.
    """
    try:
        import xarray as xr
    except ImportError as error:
        raise InputError(
            "cloudmask.mask needs xarray, which is not installed: pip install xarray"
        ) from error
    masker = Masker(NetworkOptions(find_weights(Path(weights)), threshold, tiling))
    if not isinstance(scene, xr.Dataset):
        path = Path(scene)
        return _of_arrays(
            masker, read_scene(path, view), product_name(path), f"cloudmask.mask({str(path)!r})"
        )
    name = str(scene.attrs.get("source_product") or scene.attrs.get("product_name") or "data set")
    channels, dimensions = _channels(scene)
    geolocation = _geolocation(scene, dimensions)
    call = "cloudmask.mask(dataset)"
    if isinstance(channels, np.ndarray):
        located = None if geolocation is None else tuple(map(np.asarray, geolocation))
        of_file = make_scene(channels, geolocation=located, baseline=baseline_of(name), view=view)
        return _of_arrays(masker, of_file, name, call)
    probability, bits = lazy_mask(masker, channels)
    attributes = masker.provenance(name, call, view=view, baseline=baseline_of(name)).attributes(
        None
    )
    if geolocation is not None:
        del attributes["comment"]
    variables = mask_variables(probability, bits, {}, threshold)
    return _dataset(variables, geolocation, attributes)


def _of_arrays(masker: Masker, scene: Any, name: str, call: str) -> xr.Dataset:
    probability = masker.predict(scene)
    attributes = masker.provenance(name, call, view=scene.view, baseline=scene.baseline).attributes(
        scene.geolocation
    )
    return _dataset(masker.variables(scene, probability), scene.geolocation, attributes)


def _dataset(
    variables: dict[str, Variable], geolocation: Geolocation | None, attributes: dict[str, Any]
) -> xr.Dataset:
    import xarray as xr

    shape = next(iter(variables.values())).values.shape
    coordinates: dict[str, Any] = {
        name: (name, values, about) for name, (values, about) in axes(shape).items()
    }
    coordinates |= {
        name: (DIMENSIONS, variable.values, dict(variable.attributes))
        for name, variable in positions(geolocation).items()
    }
    decoded = {name: _decoded(variable) for name, variable in variables.items()}
    return xr.Dataset(decoded, coordinates, attributes)


def _decoded(variable: Variable) -> xr.Variable:
    """As xarray reads it from a file, with what it needs to write it as `infer` does."""
    import xarray as xr

    values = variable.values
    encoding: dict[str, Any] = {"zlib": True}
    if variable.scale is not None:
        encoding |= {"dtype": np.uint8, "scale_factor": np.float32(variable.scale)}
        encoding["_FillValue"] = variable.fill
    elif variable.fill is not None:
        encoding |= {"dtype": values.dtype, "_FillValue": variable.fill}
        values = np.where(values == variable.fill, np.float32(np.nan), values.astype(np.float32))
    return xr.Variable(DIMENSIONS, values, dict(variable.attributes), encoding)


def _channels(scene: xr.Dataset) -> tuple[Any, tuple[Hashable, ...]]:
    """The channels (rows, columns, 9) float32, of NumPy or dask, and the names of the grid's axes.

    NumPy's are a copy.
    """
    if "refs" in scene and "bts" in scene:
        parts = [scene["refs"], scene["bts"]]
        depths = [part.shape[2:] for part in parts]
        if depths != [(REFLECTANCES,), (TEMPERATURES,)] or parts[0].shape[:2] != parts[1].shape[:2]:
            raise InputError(f"refs has shape {parts[0].shape} and bts {parts[1].shape}: {WANTED}")
        arrays = [part.data for part in parts]
        joined = _concatenate([array.astype(np.float32) for array in arrays])
        return joined, parts[0].dims[:2]
    if absent := [name for name in CHANNEL_NAMES if name not in scene]:
        raise InputError(f"the data set has no {', '.join(absent)}: {WANTED}")
    channels = [scene[name] for name in CHANNEL_NAMES]
    for channel in channels:
        if channel.ndim != 2 or channel.sizes != channels[0].sizes:
            raise InputError(f"{channel.name} has shape {channel.shape}: {WANTED}")
    planes = [_in_our_units(channel.transpose(*channels[0].dims)) for channel in channels]
    return (
        _concatenate([plane.data.astype(np.float32)[..., np.newaxis] for plane in planes]),
        channels[0].dims,
    )


def _in_our_units(channel: xr.DataArray) -> xr.DataArray:
    units = str(channel.attrs.get("units", ""))
    reflectance = CHANNEL_NAMES.index(str(channel.name)) < REFLECTANCES
    if reflectance and units == "%":
        scaled: xr.DataArray = channel * np.float32(0.01)
        return scaled
    if units not in (("", "1") if reflectance else ("", "K", "kelvin")):
        raise InputError(f"{channel.name} has units {units}: {WANTED}")
    return channel


def _concatenate(arrays: list[Any]) -> Any:
    if all(isinstance(array, np.ndarray) for array in arrays):
        return np.concatenate(arrays, axis=-1)
    import dask.array as da

    return da.concatenate([da.asarray(array) for array in arrays], axis=-1)


def _geolocation(scene: xr.Dataset, dimensions: tuple[Hashable, ...]) -> tuple[Any, Any] | None:
    """Latitude and longitude of the pixels, if the data set has both on the channels' grid."""
    if any(name not in scene.variables for name in POSITIONS):
        return None
    latitude, longitude = (scene[name] for name in POSITIONS)
    if set(latitude.dims) != set(dimensions) or set(longitude.dims) != set(dimensions):
        return None
    placed = [each.transpose(*dimensions).astype(np.float32).data for each in (latitude, longitude)]
    return placed[0], placed[1]
