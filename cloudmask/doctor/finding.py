"""The result of a check, in one line."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "FAIL"]


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    level: Level
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.level:9s}{self.subject:15s}{self.text}"


def gib(size: int) -> str:
    """Bytes as GiB with one decimal."""
    return f"{size / 2**30:.1f} GiB"
