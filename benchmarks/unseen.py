"""Networks against the Bayesian mask they learn from, and a fitted screen, by a known truth.

    python -m benchmarks.unseen NAME=WEIGHTS [NAME=WEIGHTS ...] --bayesian-screen FILE
        [--scenes N] [--seed S]

makes N synthetic scenes in memory, with shares of cloud spread as those published of DS1, and
prints a line of JSON for each, then tables. FILE is the screen that `cloudmask evaluate --output`
writes. The scenes have to be unseen: give a seed that networks and screen were not trained with.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import astuple
from pathlib import Path

import numpy as np
import torch
from scipy.stats import beta

from cloudmask.model.precision import choose_precision
from cloudmask.model.weights import load_weights
from cloudmask.scenes.missing import missing_values
from cloudmask.science.bootstrap import CONFIDENCE, estimates, resampled
from cloudmask.science.cloud_masks import (
    BAYESIAN,
    BAYESIAN_BY_SURFACE,
    LABEL_MASK,
    NETWORK,
    CloudDetectors,
    cloud_probabilities,
)
from cloudmask.science.pixel_features import Classification, PixelFeatures
from cloudmask.science.scores import Sums, confusion_counts, mask_scores
from cloudmask.science.screens.bayesian import load_screen
from cloudmask.synthetic.clouds import DEFAULT_AMOUNTS, Amounts
from cloudmask.synthetic.generate import make_scene
from cloudmask.synthetic.masks import SURFACES
from cloudmask.synthetic.twin import (
    LARGEST_SHARE,
    LEAST_SHARE,
    SHARES_BY_DAY,
    SHARES_BY_NIGHT,
)

LAYERS = ("fog", "stratus", "cumulus", "thick", "cirrus")
RIVALS = (LABEL_MASK, BAYESIAN, BAYESIAN_BY_SURFACE)
Detectors = dict[str, CloudDetectors]
"""Of each network by its name, and the screen's as ''."""


def amounts(seed: int, index: int, scenes: int) -> Amounts:
    """Amounts of cloud of a scene; the shares of all are evenly spread over DS1's distribution.

    Layers have the proportions of the default scenes and are taken as independent of each other.
    """
    pairs = (scenes + 1) // 2  # even indices are day scenes, odd ones night scenes
    ranks = np.random.default_rng([seed, index % 2]).permutation(pairs)
    level = (ranks[index // 2] + 0.5) / pairs
    shape = SHARES_BY_NIGHT if index % 2 else SHARES_BY_DAY
    clear = (1 - LEAST_SHARE) - (LARGEST_SHARE - LEAST_SHARE) * float(beta.ppf(level, *shape))
    usual = {name: sum(getattr(DEFAULT_AMOUNTS, name)) for name in LAYERS}
    shares = {name: 1 - clear ** (each / sum(usual.values())) for name, each in usual.items()}
    return Amounts(**{name: (share, share) for name, share in shares.items()})


def count(seed: int, index: int, scenes: int, detectors: Detectors) -> dict[str, Sums]:
    """Confusion counts of each mask of a scene against the truth, over the valid pixels."""
    scene = make_scene(seed, index, "inference", amounts(seed, index, scenes))
    channels = np.concatenate([scene["refs"], scene["bts"]], axis=-1)
    channels[missing_values(channels)] = np.nan
    surface = Classification(scene["surface"][..., 0].astype(np.uint8), SURFACES)
    features = PixelFeatures(channels, surface)
    cloudy = {LABEL_MASK: scene["bayes"][..., 0] > 0}
    for name, each in detectors.items():
        for kind, probability in cloud_probabilities(features, each).items():
            cloudy[name if kind == NETWORK else kind] = probability > 0.5
    truth = scene["truth"][..., 0] > 0
    return {
        name: confusion_counts(mask[features.valid], truth[features.valid])
        for name, mask in cloudy.items()
    }


def table(counts: dict[str, Sums], networks: list[str]) -> str:
    """Scores of all masks, and each network minus its rivals.

    Intervals of differences are widened for their number (Bonferroni).

    Args:
        counts: confusion counts (scenes, 4) of each mask.
    """
    lines = ["| mask | accuracy | hits | false alarms |", "| --- | --- | --- | --- |"]
    for name, each in counts.items():
        value, low, high, _ = astuple(estimates(mask_scores, each)["accuracy"])
        tn, fn, fp, tp = each.sum(axis=0)
        rates = f"{tp / (tp + fn):.4f} | {fp / (fp + tn):.4f}"
        lines.append(f"| {name} | {value:.4f} ({low:.4f} to {high:.4f}) | {rates} |")
    pairs = [(name, rival) for name in networks for rival in RIVALS if rival in counts]
    tail = (1 - CONFIDENCE) / 2 / max(len(pairs), 1)
    lines += ["", f"Differences, {len(pairs)} comparisons:", ""]
    lines += ["| network | minus | accuracy | the network is |", "| --- | --- | --- | --- |"]
    for name, rival in pairs:
        one, other = counts[name], counts[rival]
        value = _accuracy(one.sum(axis=0)) - _accuracy(other.sum(axis=0))
        samples = _accuracy(resampled(one)) - _accuracy(resampled(other))
        low, high = np.quantile(samples, [tail, 1 - tail])
        verdict = "better" if low > 0 else "worse" if high < 0 else "not shown to differ"
        lines.append(f"| {name} | {rival} | {value:+.4f} ({low:+.4f} to {high:+.4f}) | {verdict} |")
    return "\n".join(lines)


def _accuracy(counts: Sums) -> Sums:
    return mask_scores(counts)["accuracy"]


def main() -> None:
    """Print the counts of each scene, then the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("networks", nargs="*", metavar="NAME=WEIGHTS")
    parser.add_argument("--bayesian-screen", type=Path, metavar="FILE")
    parser.add_argument("--scenes", type=int, default=60, metavar="N")
    parser.add_argument("--seed", type=int, default=31, metavar="S")
    options = parser.parse_args()
    precision = choose_precision("auto", torch.device("cpu"))
    detectors: Detectors = {}
    if options.bayesian_screen:
        screen = load_screen(options.bayesian_screen)
        detectors[""] = CloudDetectors(None, precision, bayesian=screen)
    for given in options.networks:
        name, weights = given.split("=", 1)
        detectors[name] = CloudDetectors(load_weights(Path(weights)), precision)
    found = []
    for index in range(options.scenes):
        found.append(count(options.seed, index, options.scenes, detectors))
        line = {name: each.astype(int).tolist() for name, each in found[-1].items()}
        print(json.dumps({"scene": index, **line}), flush=True)
    counts = {name: np.array([scene[name] for scene in found]) for name in found[0]}
    print(table(counts, [name for name in detectors if name]))


if __name__ == "__main__":
    main()
