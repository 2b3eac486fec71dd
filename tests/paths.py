"""Where things are."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "tests" / "reference"
# Real products, logs and curves that others made; beside the project where they are at hand.
REAL = ROOT.parent / "shared" / "real"
