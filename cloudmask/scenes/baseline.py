"""Processing baselines of products, and the one scale of reflectance that all are brought to.

From baseline collection 005 on, ESA's radiances contain the vicarious correction factors; before,
they were left to the user (product notice S3.PN-SLSTR-L1.08). The data set is of baseline 003, so
the network knows uncorrected reflectances: those of later baselines are divided by the factors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

View = Literal["nadir", "oblique"]

CORRECTED_SINCE = 5
REFLECTANCE_SCALE = "without vicarious correction, as before baseline 005"
# Of S1 to S6.
CORRECTION_FACTORS: dict[View, tuple[float, ...]] = {
    "nadir": (0.97, 0.98, 0.98, 1.0, 1.11, 1.13),
    "oblique": (0.94, 0.95, 0.95, 1.0, 1.04, 1.07),
}

# A product's name ends in its centre, platform mode, timeliness and baseline collection.
BASELINE_IN_NAME = re.compile(r"_[A-Z0-9]{3}_[A-Z]_[A-Z]{2}_(\d{3})(?:\.|$)")


def baseline_of(name: str) -> int | None:
    """The baseline collection in a product's or scene's name, 3 for `..._LN2_O_NT_003.hdf`."""
    found = BASELINE_IN_NAME.search(name)
    return int(found[1]) if found else None


def correction_factors(baseline: int | None, view: View = "nadir") -> NDArray[np.float32] | None:
    """The factors (6,) that the reflectances of a baseline contain; None for those without."""
    if baseline is None or baseline < CORRECTED_SINCE:
        return None
    return np.array(CORRECTION_FACTORS[view], np.float32)


def remove_correction(reflectances: NDArray[np.float32], baseline: int | None, view: View) -> None:
    """Bring reflectances S1-S6 (..., 6) of a baseline to `REFLECTANCE_SCALE`, in place."""
    factors = correction_factors(baseline, view)
    if factors is not None:
        reflectances /= factors


def mixed_baselines(names: Iterable[str]) -> str:
    """One sentence if scenes of these names are of several processing baselines, else ''."""
    known = sorted({number for name in names if (number := baseline_of(name)) is not None})
    if len(known) < 2:
        return ""
    return (
        f"the scenes are of processing baselines {', '.join(f'{number:03d}' for number in known)}: "
        "reflectances are brought to one scale, but the Bayesian masks are of different versions"
    )
