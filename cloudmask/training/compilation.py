"""Forward and backward of training through torch.compile, for runs that ask for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

import torch
from torch import nn

from cloudmask.errors import InputError

OFF = "off"
Network = TypeVar("Network", bound=nn.Module)


def compiled(network: Network, mode: str) -> Network:
    """The network as torch.compile makes it when it is first used, in one of its modes, or 'off'.

    Shapes are taken as they come: in a run they never change.
    """
    if mode == OFF:
        return network
    return cast(Network, torch.compile(network, mode=mode, dynamic=False))


@contextmanager
def compiling(mode: str) -> Iterator[None]:
    """Around the first use of a `compiled` network.

    Raises:
        InputError: it cannot be compiled on this machine.
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
