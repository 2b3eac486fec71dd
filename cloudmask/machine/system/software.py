"""Versions of the framework and its software stack."""

import platform
from importlib.metadata import version

import h5py
import torch

from cloudmask.machine.system.accelerators import driver_version
from cloudmask.machine.system.kernel_files import gib


def describe_software() -> dict[str, str]:
    """The fields of the framework and its software stack."""
    return {
        "framework": f"PyTorch {torch.__version__}",
        "other_software_stack": ", ".join(f"{name} {found}" for name, found in _stack() if found),
    }


def on_chip_memories() -> str:
    """The L2 cache of the first GPU; '' without a GPU."""
    if not torch.cuda.is_available():
        return ""
    size = getattr(torch.cuda.get_device_properties(0), "L2_cache_size", 0)
    return f"L2 {gib(size)}" if size else ""


def _stack() -> list[tuple[str, str]]:
    found = [("NVIDIA driver", driver_version()), ("CUDA", torch.version.cuda or "")]
    if torch.version.cuda:
        found.append(("cuDNN", _dotted_cudnn(torch.backends.cudnn.version() or 0)))
        found.append(("NCCL", ".".join(map(str, torch.cuda.nccl.version()))))
    return [
        *found,
        ("Python", platform.python_version()),
        ("NumPy", version("numpy")),
        ("HDF5", h5py.version.hdf5_version),
    ]


def _dotted_cudnn(number: int) -> str:
    """91002 as 9.10.2; before version 9, 8902 as 8.9.2."""
    if not number:
        return ""
    thousands = 10_000 if number >= 90_000 else 1_000
    return f"{number // thousands}.{number % thousands // 100}.{number % 100}"
