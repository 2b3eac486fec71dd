"""Scenes that fail while others are done: what may fail, and the sentence that names the scene."""

from __future__ import annotations

from pathlib import Path

from cloudmask.errors import InputError

# What may fail for one scene of many; ValueError: for instance bytes that are no text.
SCENE_FAILURES = (InputError, OSError, ValueError)


def scene_name(scene: Path) -> str:
    """The name of the scene's file as text that can be written; bytes that are none are escaped."""
    return _as_text(scene.name)


def scene_failure(scene: Path, error: Exception) -> str:
    """One sentence that starts with the scene's name and gives the reason of its failure."""
    return _as_text(str(error) if isinstance(error, InputError) else f"{scene.name}: {error}")


def _as_text(name: str) -> str:
    return name.encode(errors="backslashreplace").decode()
