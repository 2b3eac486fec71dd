"""Floating-point precision of training and inference: float32, bfloat16 or float16."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch

from cloudmask.errors import InputError

# Major compute capabilities: the first with bfloat16, and the first with float16 tensor cores.
AMPERE = 8
VOLTA = 7
CPU_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


@dataclass(frozen=True)
class Precision:
    """Type of the convolutions on a device; weights, losses and sums stay in float32."""

    dtype: torch.dtype
    device: torch.device

    @property
    def name(self) -> str:
        """'float32', 'bfloat16' or 'float16'; 'tf32' where a GPU rounds float32 to 10 bits so."""
        if self.dtype == torch.float32 and self.device.type == "cuda":
            rounds = torch.backends.cudnn.allow_tf32 and _capability(self.device) >= AMPERE
            return "tf32" if rounds else "float32"
        return str(self.dtype).removeprefix("torch.")

    @property
    def store_dtype(self) -> torch.dtype:
        """Type of patches in memory. float16 resolves 0.02 K of a temperature, bfloat16 0.2 K."""
        return torch.float32 if self.dtype == torch.float32 else torch.float16

    def autocast(self) -> AbstractContextManager[None]:
        """Autocast context for the forward pass; it does nothing for float32."""
        return torch.autocast(
            self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32
        )

    def gradient_scaler(self) -> torch.amp.GradScaler:
        """Gradient scaler for float16; for other types it does nothing."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)


def choose_precision(wanted: str, device: torch.device) -> Precision:
    """`wanted`, or for 'auto' the fastest precision of the device.

    That is bfloat16 where it is in hardware, float16 on Volta and Turing GPUs, else float32.

    Raises:
        InputError: the device cannot train in the precision.
    """
    if wanted == "auto":
        return Precision(_fastest(device), device)
    dtype: torch.dtype = getattr(torch, wanted)
    if device.type == "cpu" and dtype == torch.float16:
        raise InputError("precision is float16, which CPUs do not train in: use auto or float32")
    if device.type == "cuda" and dtype == torch.bfloat16 and _capability(device) < AMPERE:
        name = torch.cuda.get_device_name(device)
        raise InputError(f"precision is bfloat16, which {name} does not have: use auto or float16")
    return Precision(dtype, device)


def _fastest(device: torch.device) -> torch.dtype:
    if device.type == "cpu":
        return torch.bfloat16 if CPU_BFLOAT16_FLAGS & _cpu_flags() else torch.float32
    if _capability(device) >= AMPERE:
        return torch.bfloat16
    return torch.float16 if _capability(device) >= VOLTA else torch.float32


def _capability(device: torch.device) -> int:
    return torch.cuda.get_device_capability(device)[0]


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux: assume none
        return set()
    return {flag for line in lines if line.startswith("flags") for flag in line.split()}
