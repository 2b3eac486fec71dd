"""The state of training in one file: tensors and plain values in safetensors, with a checksum.

Nothing in the format can carry code, and nothing is taken from a file whose checksum is wrong.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cloudmask.errors import InputError
from cloudmask.model.tensor_file import read_tensors, write_tensors

FORMAT = "cloudmask-checkpoint-2"
KIND = "checkpoint"
# How a tensor is named in the plain part, among dictionaries, lists and numbers.
TENSOR = "tensor"


@dataclass(frozen=True)
class Checkpoint:
    """Training as it stood when an epoch, with its evaluation, had ended.

    Attributes:
        runs: names of the run that left it, and of those that this one had gone on from.
        epoch: the last finished epoch, from 1.
        seed: of weights, order of the data and augmentation; with the epoch it gives the order.
        parameters: everything else that the course of training depends on, by name.
        state: dictionaries and lists of tensors, numbers, strings and None.
    """

    runs: Sequence[str]
    epoch: int
    seed: int
    parameters: Mapping[str, Any]
    state: Mapping[str, Any]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, and read it again to be sure of it.

    Raises:
        OSError: it could not be written; no file has its name then.
        InputError: what was read is not what was written.
    """
    tensors: dict[str, Tensor] = {}
    state = _map_tree(checkpoint.state, lambda tensor: _put_aside(tensor, tensors))
    content = json.dumps(
        {
            "runs": list(checkpoint.runs),
            "epoch": checkpoint.epoch,
            "seed": checkpoint.seed,
            "parameters": dict(checkpoint.parameters),
            "state": state,
        }
    )
    checksum = _checksum(content, tensors)
    write_tensors(path, FORMAT, tensors, content=content, sha256=checksum)
    read_checkpoint(path)


def read_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in a file, its tensors on the CPU; nothing in it is ever executed.

    Raises:
        InputError: the file is missing, damaged, or no checkpoint.
    """
    tensors, metadata = read_tensors(path, FORMAT, KIND)
    content = metadata.get("content", "")
    if metadata.get("sha256") != _checksum(content, tensors):
        raise InputError(f"checkpoint {path} is damaged (its checksum is wrong)")
    try:
        fields = json.loads(content)
        fields["state"] = _with_tensors(fields["state"], tensors)
        return Checkpoint(**fields)
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        raise InputError(f"checkpoint {path} is not a CloudMask checkpoint ({error})") from error


def copy_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """The state with copies of its tensors on their own devices, which the host does not await."""
    copied: dict[str, Any] = _map_tree(state, lambda tensor: tensor.detach().clone())
    return copied


def _map_tree(tree: Any, of_tensor: Callable[[Tensor], Any]) -> Any:
    if isinstance(tree, Tensor):
        return of_tensor(tree)
    if isinstance(tree, Mapping):
        return {str(key): _map_tree(value, of_tensor) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_map_tree(value, of_tensor) for value in tree]
    return tree


def _put_aside(tensor: Tensor, tensors: dict[str, Tensor]) -> dict[str, str]:
    name = str(len(tensors))
    tensors[name] = tensor.detach().to("cpu", copy=True).contiguous()
    return {TENSOR: name}


def _with_tensors(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(tree, dict):
        if tree.keys() == {TENSOR}:
            return tensors[tree[TENSOR]]
        return {key: _with_tensors(value, tensors) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_with_tensors(value, tensors) for value in tree]
    return tree


def _checksum(content: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(content.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
