"""The sums of many scenes, by what they are of: one row for each scene that has them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cloudmask.science.mask_comparison import Key, SceneSums
from cloudmask.science.pixel_counts import Sums


class Tally:
    """Looks sums up over scenes; see `SceneSums` for the keys."""

    def __init__(self, scenes: Sequence[SceneSums]) -> None:
        self._scenes = scenes
        self._keys = list(dict.fromkeys(key for scene in scenes for key in scene.sums))

    def stack(self, *keys: Key) -> list[Sums]:
        """For each key its sums (n, k), over the n scenes that have all of the keys."""
        having = [scene.sums for scene in self._scenes if all(key in scene.sums for key in keys)]
        return [np.array([sums[key] for sums in having]) for key in keys]

    def has(self, reference: str) -> bool:
        """Whether any scene has this reference."""
        return any(key[:2] == ("mask", reference) for key in self._keys)

    def last_of(self, prefix: Key) -> list[str]:
        """What follows the prefix in the keys, in order of appearance: the masks."""
        return [
            key[-1]
            for key in self._keys
            if len(key) == len(prefix) + 1 and key[: len(prefix)] == prefix
        ]

    def strata(self, reference: str) -> list[tuple[str, str]]:
        """Families and strata that occur, without the one of all pixels."""
        found = [key[2:4] for key in self._keys if key[:2] == ("mask", reference)]
        return [(family, name) for family, name in dict.fromkeys(found) if family != "all"]

    def masks(self) -> list[str]:
        """The masks that are compared with each other."""
        pairs = [key[1:] for key in self._keys if key[0] == "agreement"]
        return list(dict.fromkeys(mask for pair in pairs for mask in pair))
