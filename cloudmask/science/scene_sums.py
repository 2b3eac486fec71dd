"""Sums of one scene, and the sums of many scenes as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cloudmask.science.scores import Sums

SumsKey = tuple[str, ...]


@dataclass(frozen=True)
class SceneSums:
    """All sums that are kept of a scene, by key:

    ("mask", reference, family, stratum, mask): for `mask_scores`; family `all` is all pixels;
    ("probability", reference, mask): for `probability_scores`;
    ("agreement", mask, mask): for `agreement_scores`;
    ("sst", mask): for `sst_scores`.

    Attributes:
        clear: the masks at the match-ups of the scene, see `match_ups`.
    """

    name: str
    day_share: float
    surface_known: bool
    sums: dict[SumsKey, Sums]
    clear: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)


class SumsByScene:
    """The sums of several scenes, with one row for each scene that has them."""

    def __init__(self, scenes: Sequence[SceneSums]) -> None:
        self._scenes = scenes
        self._keys = list(dict.fromkeys(key for scene in scenes for key in scene.sums))

    def stack(self, *keys: SumsKey) -> list[Sums]:
        """For each key an array (n, k) over the n scenes that have all of the keys."""
        complete = [scene.sums for scene in self._scenes if all(key in scene.sums for key in keys)]
        return [np.array([sums[key] for sums in complete]) for key in keys]

    def has_reference(self, reference: str) -> bool:
        """Whether any scene has this reference."""
        return any(key[:2] == ("mask", reference) for key in self._keys)

    def masks(self, prefix: SumsKey) -> list[str]:
        """The masks with sums under `prefix`, in order of appearance."""
        return [key[-1] for key in self._keys if key[:-1] == prefix]

    def strata(self, reference: str) -> list[tuple[str, str]]:
        """Families and strata of a reference, without the stratum of all pixels."""
        found = [key[2:4] for key in self._keys if key[:2] == ("mask", reference)]
        return [(family, name) for family, name in dict.fromkeys(found) if family != "all"]

    def compared_masks(self) -> list[str]:
        """The masks whose agreement was counted."""
        pairs = [key[1:] for key in self._keys if key[0] == "agreement"]
        return list(dict.fromkeys(mask for pair in pairs for mask in pair))
