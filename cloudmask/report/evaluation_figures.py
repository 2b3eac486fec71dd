"""Figures of an evaluation: accuracy by scene, reliability diagram, agreement matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cloudmask.report.figure_style import COLOURS, WIDE, blank, both_layouts, colour_of, marker_of
from cloudmask.tables import number

Cells = Mapping[frozenset[str], tuple[float | None, float | None]]


@both_layouts
def draw_scenes(
    width: float, accuracies: Sequence[tuple[str, Mapping[str, float]]], masks: Sequence[str]
) -> Figure:
    """A row for each scene, with the accuracy of each mask as a point."""
    figure, (axes,) = blank(width, 110 + 20 * len(accuracies))
    for index, mask in enumerate(masks):
        points = [
            (scores[mask], row) for row, (_, scores) in enumerate(accuracies) if mask in scores
        ]
        if points:
            axes.plot(
                *zip(*points, strict=True),
                marker_of(index),
                color=colour_of(index),
                markersize=6,
                label=mask,
            )
    axes.set_yticks(range(len(accuracies)), [scene for scene, _ in accuracies])
    axes.set_ylim(len(accuracies) - 0.4, -0.6)
    axes.grid()
    axes.set_xlabel("accuracy")
    figure.legend(loc="outside upper center", ncols=3 if width == WIDE else 2)
    return figure


@both_layouts
def draw_reliability(
    width: float, curves: Mapping[str, Sequence[Mapping[str, Any]]], reference: str
) -> Figure:
    """Reliability diagram: cloudy share by probability, above the pixels of each bin."""
    figure, (axes, histogram) = blank(width, 430, ratios=(3, 1))
    axes.plot([0, 1], [0, 1], color=COLOURS["muted"], linestyle=":")
    for index, (mask, bins) in enumerate(curves.items()):
        filled = [row for row in bins if row["cloudy_share"] is not None]
        axes.plot(
            [row["mean_probability"] for row in filled],
            [row["cloudy_share"] for row in filled],
            color=colour_of(index),
            marker=marker_of(index),
            label=mask,
        )
        total = sum(row["pixels"] for row in bins)
        histogram.stairs(
            [row["pixels"] / total for row in bins],
            [bins[0]["from"], *(row["to"] for row in bins)],
            color=colour_of(index),
            linewidth=1.5,
        )
    axes.set_ylabel(f"cloudy share in the {reference}")
    histogram.set_ylabel("pixels")
    histogram.set_xlabel("probability of cloud")
    for each in (axes, histogram):
        each.grid()
    figure.legend(loc="outside upper center", ncols=3 if width == WIDE else 2)
    return figure


@both_layouts
def draw_agreement(width: float, masks: Sequence[str], cells: Cells) -> Figure:
    """Matrix of all pairs of masks: agreement above kappa."""
    figure, (axes,) = blank(width, 70 + 46 * len(masks))
    for row, one in enumerate(masks[1:]):
        for column, other in enumerate(masks[: row + 1]):
            agreement, kappa = cells.get(frozenset((one, other)), (None, None))
            if agreement is None:
                continue
            # The opacity of the cell grows with the agreement.
            axes.add_patch(
                Rectangle(
                    (column - 0.48, row - 0.48),
                    0.96,
                    0.96,
                    facecolor=COLOURS["blue"],
                    alpha=0.45 * max(2 * agreement - 1, 0),
                )
            )
            axes.annotate(
                f"{number(agreement, 3)}\n{number(kappa, 3)}",
                (column, row),
                ha="center",
                va="center",
                fontsize=9,
            )
    axes.set_xlim(-0.5, len(masks) - 1.5)
    axes.set_ylim(len(masks) - 1.5, -0.5)
    axes.set_xticks(range(len(masks) - 1), masks[:-1], rotation=35, ha="right")
    axes.set_yticks(range(len(masks) - 1), masks[1:])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure
