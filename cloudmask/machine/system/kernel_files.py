"""Reads the small files of /proc and /sys."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

ROOT = Path("/")


def read(path: Path) -> str:
    """The stripped text of a file; '' if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip("\0 \n\t")
    except OSError:
        return ""


def read_number(path: Path) -> int:
    """The integer in a file; 0 if there is none."""
    text = read(path)
    return int(text) if text.removeprefix("-").isdecimal() else 0


def count_equal(items: Iterable[str]) -> str:
    """Equal items with their number: '8 x NVMe SSD, 2 x SSD'."""
    return ", ".join(f"{number} x {item}" for item, number in Counter(items).items())


def gib(size: float) -> str:
    """Bytes in KiB, MiB or GiB: 32 KiB, 1 MiB, 23.5 GiB."""
    units = ["KiB", "MiB", "GiB"]
    size /= 1024
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{size:.4g} {units[0]}"
