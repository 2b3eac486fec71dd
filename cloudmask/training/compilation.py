"""Compilation of the training step's forward and backward passes with torch.compile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

import torch
from torch import nn

from cloudmask.errors import InputError

OFF = "off"
Network = TypeVar("Network", bound=nn.Module)


def compile_network(network: Network, mode: str) -> Network:
    """The network compiled in a mode of torch.compile at its first call, or for 'off' itself.

    Shapes are static: they never change in a run.
    """
    if mode == OFF:
        return network
    return cast(Network, torch.compile(network, mode=mode, dynamic=False))


@contextmanager
def compile_errors_as_input_errors(mode: str) -> Iterator[None]:
    """Context for the first call of a network from `compile_network`.

    Raises:
        InputError: the network cannot be compiled on this machine.
    """
    if mode == OFF:
        yield
        return
    from torch._dynamo.exc import TorchDynamoException  # takes a while to import

    try:
        yield
    except TorchDynamoException as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"compile_mode is {mode}, but torch cannot compile here ({reason}): "
            "install what is missing, or use off"
        ) from error
