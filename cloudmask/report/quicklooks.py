"""Quick-looks: what the sensor saw of a scene, what each mask makes of it, and where they err."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imsave
from numpy.typing import NDArray

from cloudmask.report.blocks import Gallery, Panel, sensing_start
from cloudmask.report.figure_style import COLOURS, style
from cloudmask.science.cloud_masks import (
    BAYESIAN,
    LABEL,
    LABEL_MASK,
    NETWORK,
    THRESHOLD,
    TRUTH,
    CloudDetectors,
    cloud_masks,
    cloud_probabilities,
    read_references,
)
from cloudmask.science.observation import Observation, Plane
from cloudmask.science.scene_evaluation import observe_valid
from cloudmask.science.scores import Mask, confusion_counts

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

SHEET_CHARACTERS = 42  # to a line above a picture of the PNG
REDUCTION = 3  # 1200 x 1500 pixels of 1 km become 400 x 500 of 3 km

# Brightness of the false colours: the square root lifts dark sea out of the black; the ends of
# the grey scale are those of the scene, but for its most extreme pixels.
BRIGHTEST_REFLECTANCE = 1.0
KELVIN_PERCENTILES = (1, 99)

# Blue and orange are told apart by all colour vision (Okabe and Ito 2008, Color Universal Design).
CLOUD, CLEAR, NOTHING = (245, 245, 245), (30, 62, 98), (128, 128, 128)
MISSED, INVENTED = (230, 115, 0), (0, 158, 235)

TITLES = {
    TRUTH: "Truth",
    LABEL: "Label (bayes)",
    NETWORK: "Network",
    BAYESIAN: "Bayesian screen",
    LABEL_MASK: "Bayesian (bayes)",
    THRESHOLD: "Threshold screen",
}
LEGEND = (
    "Masks: white is cloud, dark blue is clear, grey was not seen. Differences: orange is cloud "
    "that the mask misses, light blue is clear sky that it calls cloud."
)


class View(NamedTuple):
    """A picture (400, 500, 3), its title, and its numbers in words."""

    title: str
    words: str
    picture: Picture


def quicklook(path: Path, detectors: CloudDetectors, name: str) -> Gallery:
    """The pictures of one scene; `name` is what its PNG is called.

    The reference is the truth or, without one, the label. Without a fitted Bayesian screen the
    file's own Bayesian mask stands in for it.

    Raises:
        SceneError: the scene cannot be read, or no pixel of it is valid.
    """
    seen = observe_valid(path)
    masks = cloud_masks(path, seen, cloud_probabilities(seen, detectors))
    references = read_references(path)
    reference = TRUTH if TRUTH in references else LABEL
    bayesian = BAYESIAN if BAYESIAN in masks else LABEL_MASK
    shown = [each for each in (NETWORK, bayesian, THRESHOLD) if each in masks]
    if reference == LABEL and LABEL_MASK in shown:
        shown.remove(LABEL_MASK)  # by definition the same
    views = [_false_colour(seen)]
    if reference in references:
        views.append(_mask(reference, references[reference], seen.valid))
    views += [_mask(each, masks[each], seen.valid) for each in shown]
    if reference in references:
        views += [
            _difference(each, masks[each], reference, references[reference], seen.valid)
            for each in shown
        ]
    panels = [
        Panel(view.title, f"{view.title}: {view.words}", _png(view.picture), view.words)
        for view in views
    ]
    return Gallery(name, sensing_start(path.name), path.name, panels, _sheet(path.name, views))


def _false_colour(seen: Observation) -> View:
    if float(seen.day[seen.valid].mean()) >= 0.5:
        bands = np.stack([_reduced(seen.band(number)) for number in (3, 2, 1)], axis=-1)
        bright = np.sqrt(np.clip(bands / BRIGHTEST_REFLECTANCE, 0, 1))
        title, words = "False colour", "S3, S2, S1 as red, green, blue, by day"
    else:
        cold, warm = np.percentile(seen.band(8)[seen.valid], KELVIN_PERCENTILES)
        grey = np.clip((warm - _reduced(seen.band(8))) / max(warm - cold, 1e-3), 0, 1)
        bright = np.repeat(grey[..., np.newaxis], 3, axis=-1)
        title, words = "Temperature", f"S8 by night, {cold:.0f} K white to {warm:.0f} K black"
    valid = seen.valid[::REDUCTION, ::REDUCTION, np.newaxis]
    picture = np.where(valid, np.nan_to_num(bright) * 255, np.array(NOTHING)).astype(np.uint8)
    return View(title, words, picture)


def _mask(name: str, mask: Mask, valid: Mask) -> View:
    picture = _coloured(valid, [(~mask, CLEAR), (mask, CLOUD)])
    return View(TITLES[name], f"{mask[valid].mean():.1%} cloud", picture)


def _difference(name: str, mask: Mask, reference: str, cloudy: Mask, valid: Mask) -> View:
    parts = [
        (~mask & ~cloudy, CLEAR),
        (mask & cloudy, CLOUD),
        (~mask & cloudy, MISSED),
        (mask & ~cloudy, INVENTED),
    ]
    _, cloud_missed, clear_called_cloud, _ = confusion_counts(mask[valid], cloudy[valid])
    missed, invented = cloud_missed / valid.sum(), clear_called_cloud / valid.sum()
    words = (
        f"{1 - missed - invented:.1%} right, {missed:.1%} cloud missed, "
        f"{invented:.1%} clear called cloud"
    )
    return View(f"{TITLES[name]} against {reference}", words, _coloured(valid, parts))


def _coloured(valid: Mask, parts: Sequence[tuple[Mask, Colour]]) -> Picture:
    """One pixel of each 3 x 3, so that a picture shows pixels as they were judged."""
    picture = np.full((*valid[::REDUCTION, ::REDUCTION].shape, 3), NOTHING, np.uint8)
    for selected, colour in parts:
        picture[(selected & valid)[::REDUCTION, ::REDUCTION]] = colour
    return picture


def _reduced(plane: Plane) -> Plane:
    """Means of 3 x 3 pixels."""
    rows, columns = (length // REDUCTION for length in plane.shape)
    mean: Plane = plane.reshape(rows, REDUCTION, columns, REDUCTION).mean(axis=(1, 3))
    return mean


def _png(picture: Picture) -> bytes:
    file = io.BytesIO()
    imsave(file, picture, format="png", pil_kwargs={"optimize": True})
    return file.getvalue()


@style
def _sheet(title: str, views: Sequence[View]) -> Figure:
    columns = min(4, len(views))
    rows = -(-len(views) // columns)
    figure = Figure(figsize=(3 * columns, 2.9 * rows + 0.4), layout="constrained")
    for place, view in enumerate(views, 1):
        axes = figure.add_subplot(rows, columns, place)
        axes.imshow(view.picture)
        axes.set_axis_off()
        words = fill(view.words, SHEET_CHARACTERS)
        axes.set_title(f"{view.title}\n{words}", fontsize=8, color=COLOURS["ink"])
    figure.suptitle(title, fontsize=10)
    return figure
