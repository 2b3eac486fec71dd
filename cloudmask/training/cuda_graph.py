"""CUDA graphs: the kernels of a function, captured once and then launched as one.

A training step has some 400 kernels. With small batches, a GPU runs them in less time than the
host takes to launch them one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from cloudmask.model.unet import UNet

Result = TypeVar("Result")


class CudaGraph(Generic[Result]):
    """The kernels of a function of tensors on a GPU, which capturing does not run.

    Args:
        function: it must not wait for the device, and must have run before with inputs of the same
            shapes, so that nothing is initialised in the capture.
        inputs: tensors whose memory the graph reads; `launch` writes to them.
        pool: another graph, whose memory for temporary tensors this one uses too; the two are never
            launched at the same time.

    Attributes:
        result: what the function returned; each launch computes its tensors anew, in place.

    Raises:
        RuntimeError: the function does what cannot be captured.
    """

    def __init__(
        self,
        function: Callable[..., Result],
        *inputs: Tensor,
        pool: CudaGraph[Any] | None = None,
    ) -> None:
        self.inputs = inputs
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(
            self.graph,
            pool=None if pool is None else pool.graph.pool(),
            stream=torch.cuda.current_stream(),
            capture_error_mode="thread_local",  # NCCL's watchdog queries events meanwhile
        ):
            self.result = function(*inputs)

    def launch(self, *values: Tensor | float) -> Result:
        """Copy these values to the inputs, and run the kernels; the host does not wait.

        Raises:
            ValueError: a tensor has another shape than the input, to which it might be broadcast.
        """
        for held, value in zip(self.inputs, values, strict=True):
            if isinstance(value, Tensor):
                if value.shape != held.shape:
                    shapes = f"{tuple(held.shape)}, not {tuple(value.shape)}"
                    raise ValueError(f"the CUDA graph was captured for {shapes}")
                held.copy_(value, non_blocking=True)
            else:
                held.fill_(value)
        self.graph.replay()
        return self.result


@dataclass(frozen=True)
class TrainingGraphs:
    """The graphs of a trainer.

    Attributes:
        step: a training step; its result is the loss.
        network: makes the network that is evaluated from the averaged weights.
        evaluation: the pixel counts of an evaluation batch.
    """

    step: CudaGraph[Tensor]
    network: CudaGraph[UNet]
    evaluation: CudaGraph[Tensor]


def leave_default_stream(device: torch.device) -> None:
    """Queue this thread's work in a stream of its own: the default one cannot be captured."""
    if torch.cuda.current_stream(device) == torch.cuda.default_stream(device):
        torch.cuda.synchronize(device)
        torch.cuda.set_stream(torch.cuda.Stream(device))
