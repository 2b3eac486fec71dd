"""A checkpoint file: the state of training as safetensors with JSON metadata and a checksum.

The format cannot carry code, and a file whose checksum is wrong is not used.
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
TENSOR = "tensor"  # {"tensor": NAME} in the JSON refers to a tensor of the file


@dataclass(frozen=True)
class Checkpoint:
    """The state of training after an epoch and its evaluation.

    Attributes:
        runs: names of the run that wrote it, and of the runs that this one resumed.
        epoch: the last finished epoch, from 1.
        seed: of weights, data order and augmentation.
        parameters: everything else that determines training, by name.
        state: dictionaries and lists of tensors, numbers, strings and None.
    """

    runs: Sequence[str]
    epoch: int
    seed: int
    parameters: Mapping[str, Any]
    state: Mapping[str, Any]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, and read it again to verify it.

    Raises:
        OSError: it could not be written; there is no file of its name then.
        InputError: the file that was read is damaged.
    """
    tensors: dict[str, Tensor] = {}
    state = _map_tensors(checkpoint.state, lambda tensor: _extract(tensor, tensors))
    content = json.dumps({**vars(checkpoint), "state": state})
    checksum = _checksum(content, tensors)
    write_tensors(path, FORMAT, tensors, content=content, sha256=checksum)
    read_checkpoint(path)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, its tensors on the CPU.

    Raises:
        InputError: the file is missing, damaged, or no checkpoint.
    """
    tensors, metadata = read_tensors(path, FORMAT, KIND)
    content = metadata.get("content", "")
    if metadata.get("sha256") != _checksum(content, tensors):
        raise InputError(f"checkpoint {path} is damaged (its checksum is wrong)")
    try:
        fields = json.loads(content)
        fields["state"] = _insert(fields["state"], tensors)
        return Checkpoint(**fields)
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        raise InputError(f"checkpoint {path} is not a CloudMask checkpoint ({error})") from error


def copy_to_host(state: Mapping[str, Any]) -> tuple[dict[str, Any], torch.cuda.Event | None]:
    """Copy a state to the memory of the host, without waiting for its GPU.

    Returns the copy and, for a state on a GPU, the event after which it is complete.
    """
    on_gpu = False

    def copy(tensor: Tensor) -> Tensor:
        nonlocal on_gpu
        if tensor.device.type == "cpu":
            return tensor.detach().clone()
        on_gpu = True
        host = torch.empty_like(tensor, device="cpu", pin_memory=True)
        return host.copy_(tensor.detach(), non_blocking=True)

    copied: dict[str, Any] = _map_tensors(state, copy)
    if not on_gpu:
        return copied, None
    complete = torch.cuda.Event()
    complete.record()
    return copied, complete


def _map_tensors(tree: Any, of_tensor: Callable[[Tensor], Any]) -> Any:
    if isinstance(tree, Tensor):
        return of_tensor(tree)
    if isinstance(tree, Mapping):
        return {str(key): _map_tensors(value, of_tensor) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_map_tensors(value, of_tensor) for value in tree]
    return tree


def _extract(tensor: Tensor, tensors: dict[str, Tensor]) -> dict[str, str]:
    name = str(len(tensors))
    tensors[name] = tensor.detach().cpu().contiguous()
    return {TENSOR: name}


def _insert(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(tree, dict):
        if tree.keys() == {TENSOR}:
            return tensors[tree[TENSOR]]
        return {key: _insert(value, tensors) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_insert(value, tensors) for value in tree]
    return tree


def _checksum(content: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(content.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
