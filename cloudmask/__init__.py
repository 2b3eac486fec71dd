"""CloudMask: a U-Net that marks cloud in Sentinel-3 SLSTR scenes, as a timed MLPerf-style run.

`cloudmask.mask(scene, weights)` masks a scene in Python; see `cloudmask.api`.
"""

from importlib import import_module
from typing import Any

__version__ = "1.0.0"


def __getattr__(name: str) -> Any:
    """`mask`, imported when it is first used: `import cloudmask` alone loads nothing."""
    if name == "mask":
        return import_module("cloudmask.api").mask
    raise AttributeError(f"module 'cloudmask' has no attribute {name!r}")
