"""Quick-looks of a scene: what the sensor measured, each mask, and the errors of each mask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cloudmask.report.blocks import Colour, Gallery, Image, Legend, Panel, sensing_start
from cloudmask.report.figure_style import COLOURS, style
from cloudmask.scenes.failures import scene_name
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
from cloudmask.science.pixel_features import Mask, PixelFeatures, Plane
from cloudmask.science.scene_evaluation import read_valid_features
from cloudmask.science.scores import confusion_counts

LINE_CHARACTERS = 42  # of the text above a panel of the contact sheet
REDUCTION = 2  # 1200 x 1500 pixels of 1 km become 600 x 750 of 2 km

# False colours show the square root of reflectance, which brightens dark sea. The grey scale of the
# temperature ends at these percentiles of the scene.
BRIGHTEST_REFLECTANCE = 1.0
KELVIN_PERCENTILES = (1, 99)

# Blue and orange differ in all types of colour vision (Okabe and Ito 2008, Color Universal Design).
CLOUD, CLEAR, INVALID = (245, 245, 245), (30, 62, 98), (128, 128, 128)
MISSED, FALSE_ALARM = (230, 115, 0), (0, 158, 235)

TITLES = {
    TRUTH: "Truth",
    LABEL: "Label (bayes)",
    NETWORK: "Network",
    BAYESIAN: "Bayesian screen",
    LABEL_MASK: "Bayesian (bayes)",
    THRESHOLD: "Threshold screen",
}
MASK_LEGEND = Legend([(CLOUD, "cloud"), (CLEAR, "clear"), (INVALID, "invalid")])
DIFFERENCE_LEGEND = Legend(
    [*MASK_LEGEND.entries, (MISSED, "cloud missed"), (FALSE_ALARM, "clear called cloud")]
)


def quicklook(path: Path, detectors: CloudDetectors, name: str) -> Gallery:
    """The images of one scene; `name` is that of its PNG.

    The reference is the truth or, without it, the label. Without a fitted Bayesian screen the
    file's own Bayesian mask is shown instead.

    Raises:
        SceneError: the scene cannot be read, or has no valid pixel.
    """
    features = read_valid_features(path)
    masks = cloud_masks(path, features, cloud_probabilities(features, detectors))
    references = read_references(path)
    reference = TRUTH if TRUTH in references else LABEL
    bayesian = BAYESIAN if BAYESIAN in masks else LABEL_MASK
    shown = [each for each in (NETWORK, bayesian, THRESHOLD) if each in masks]
    if reference == LABEL and LABEL_MASK in shown:
        shown.remove(LABEL_MASK)  # equal to the label by definition
    panels = [_false_colour(features)]
    if reference in references:
        panels.append(_mask(reference, references[reference], features.valid))
    panels += [_mask(each, masks[each], features.valid) for each in shown]
    if reference in references:
        panels += [
            _difference(each, masks[each], reference, references[reference], features.valid)
            for each in shown
        ]
    scene = scene_name(path)
    return Gallery(name, sensing_start(scene), scene, panels, _contact_sheet(scene, panels))


def _false_colour(features: PixelFeatures) -> Panel:
    if float(features.day[features.valid].mean()) >= 0.5:
        bands = np.stack([_reduced(features.band(number)) for number in (3, 2, 1)], axis=-1)
        brightness = np.sqrt(np.clip(bands / BRIGHTEST_REFLECTANCE, 0, 1))
        title, text = "False colour", "S3, S2, S1 as red, green, blue, by day"
    else:
        cold, warm = np.percentile(features.band(8)[features.valid], KELVIN_PERCENTILES)
        grey = np.clip((warm - _reduced(features.band(8))) / max(warm - cold, 1e-3), 0, 1)
        brightness = np.repeat(grey[..., np.newaxis], 3, axis=-1)
        title, text = "Temperature", f"S8 by night, {cold:.0f} K white to {warm:.0f} K black"
    valid = features.valid[::REDUCTION, ::REDUCTION, np.newaxis]
    image = np.where(valid, np.nan_to_num(brightness) * 255, np.array(INVALID)).astype(np.uint8)
    return Panel(title, text, image)


def _mask(name: str, mask: Mask, valid: Mask) -> Panel:
    image = _coloured(valid, [(~mask, CLEAR), (mask, CLOUD)])
    return Panel(TITLES[name], f"{mask[valid].mean():.1%} cloud", image, MASK_LEGEND)


def _difference(name: str, mask: Mask, reference: str, cloudy: Mask, valid: Mask) -> Panel:
    parts = [
        (~mask & ~cloudy, CLEAR),
        (mask & cloudy, CLOUD),
        (~mask & cloudy, MISSED),
        (mask & ~cloudy, FALSE_ALARM),
    ]
    _, cloud_missed, clear_called_cloud, _ = confusion_counts(mask[valid], cloudy[valid])
    missed, false_alarms = cloud_missed / valid.sum(), clear_called_cloud / valid.sum()
    text = (
        f"{1 - missed - false_alarms:.1%} correct, {missed:.1%} missed cloud, "
        f"{false_alarms:.1%} clear called cloud"
    )
    image = _coloured(valid, parts)
    return Panel(f"{TITLES[name]} against {reference}", text, image, DIFFERENCE_LEGEND)


def _coloured(valid: Mask, parts: Sequence[tuple[Mask, Colour]]) -> Image:
    """Every n-th pixel of every n-th row, for the reduction n: masks cannot be averaged."""
    image = np.full((*valid[::REDUCTION, ::REDUCTION].shape, 3), INVALID, np.uint8)
    for selected, colour in parts:
        image[(selected & valid)[::REDUCTION, ::REDUCTION]] = colour
    return image


def _reduced(plane: Plane) -> Plane:
    """Means of squares of pixels."""
    rows, columns = (length // REDUCTION for length in plane.shape)
    mean: Plane = plane.reshape(rows, REDUCTION, columns, REDUCTION).mean(axis=(1, 3))
    return mean


@style
def _contact_sheet(title: str, panels: Sequence[Panel]) -> Figure:
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3 * columns, 2.9 * rows + 0.7), layout="constrained")
    for position, panel in enumerate(panels, 1):
        axes = figure.add_subplot(rows, columns, position)
        axes.imshow(panel.image)
        axes.set_axis_off()
        text = fill(panel.text, LINE_CHARACTERS)
        axes.set_title(f"{panel.title}\n{text}", fontsize=8, color=COLOURS["ink"])
    figure.suptitle(title, fontsize=10)
    shown = dict.fromkeys(entry for each in panels if each.legend for entry in each.legend.entries)
    patches = [_swatch(*entry) for entry in shown]
    if patches:
        figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), fontsize=8)
    return figure


def _swatch(colour: Colour, meaning: str) -> Patch:
    red, green, blue = (part / 255 for part in colour)
    edge = COLOURS["muted"]
    return Patch(facecolor=(red, green, blue), edgecolor=edge, linewidth=0.5, label=meaning)
