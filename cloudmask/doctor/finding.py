"""What a check found, in one line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "FAIL"]


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    level: Level
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.level:9s}{self.subject:15s}{self.text}"


def gib(size: int) -> str:
    """Bytes in the unit of memory."""
    return f"{size / 2**30:.1f} GiB"
