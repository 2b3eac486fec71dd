"""What torch and the system raise for want of memory or for a lost GPU, as errors of the run."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from cloudmask.errors import InputError


@contextmanager
def failures_as_errors() -> Iterator[None]:
    """Raise want of memory as bad input, which no restart would mend, and a lost GPU as a fault.

    Raises:
        InputError: the memory of the GPU or of the machine is too small.
        OSError: the GPU has failed.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        reason = str(error).partition(". GPU")[0]
        raise InputError(
            f"the memory of the GPU is too small ({reason}): use a smaller "
            "batch_size or evaluation_batch_size, or store host"
        ) from error
    except (MemoryError, OSError, RuntimeError) as error:
        text = str(error).splitlines()[0] if str(error) else ""
        if (
            isinstance(error, MemoryError)
            or getattr(error, "errno", None) == errno.ENOMEM
            or "DefaultCPUAllocator: " in text
        ):
            detail = text.rpartition("DefaultCPUAllocator: ")[2] or "out of memory"
            raise InputError(
                f"the memory of {os.uname().nodename} is too small ({detail}): use a smaller "
                "batch_size or evaluation_batch_size, fewer processes_per_node, or store mapped"
            ) from error
        # torch's AcceleratorError, which old versions do not have
        if isinstance(error, RuntimeError) and text.startswith("CUDA error"):
            gpu = f"GPU {os.environ.get('LOCAL_RANK', '0')} of {os.uname().nodename}"
            raise OSError(
                f"{gpu} failed ({text}): look for Xid messages in the kernel's log (dmesg)"
            ) from error
        raise
