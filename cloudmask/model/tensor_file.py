"""Tensors and text metadata in one safetensors file, whose format is named in the metadata.

Such a file cannot hold code: reading one executes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cloudmask.errors import InputError
from cloudmask.files import write_durably


def write_tensors(path: Path, format_name: str, tensors: Mapping[str, Tensor], **text: str) -> None:
    """Write CPU tensors by name, and metadata `text`, so that the file is complete or absent.

    Raises:
        OSError: the file could not be written; an earlier file of this name is kept.
    """
    write_durably(path, save(dict(tensors), metadata={"format": format_name, **text}))


def read_tensors(
    path: Path, format_name: str, kind: str
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors, on the CPU, and the metadata of a file; `kind` names it in messages.

    Raises:
        InputError: the file is missing, damaged, or of another format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"{kind} {path} cannot be read ({error}): give another file") from error
    if metadata.get("format") != format_name:
        raise InputError(f"{kind} {path} is not a CloudMask {kind}: give another file")
    return tensors, metadata
