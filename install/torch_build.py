"""Which build of torch fits this machine: that of the CPU, of CUDA 12.6, or PyPI's own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

PYTORCH_INDEX = "https://download.pytorch.org/whl"
# PyPI's torch 2.13 is a build of CUDA 13, whose oldest driver and oldest compute capability these
# are (CUDA 13.0 release notes). CUDA 12.6 is the newest other one with builds of torch 2.13.
CUDA_13_DRIVER = 580
CUDA_13_CAPABILITY = (7, 5)
# The first compute capability (Blackwell) that builds of CUDA 12.6 have no kernels for.
AFTER_CUDA_12_6 = (10, 0)
NVIDIA_SMI_TIMEOUT = 60.0  # seconds
SIZES = {"cpu": "about 0.3 GB"}
CUDA_SIZE = "about 3 GB"


@dataclass(frozen=True)
class Gpu:
    """A GPU as its driver reports it; `capability` is None where the driver cannot tell."""

    driver: str
    capability: tuple[int, int] | None


@dataclass(frozen=True)
class Build:
    """A choice of build.

    Attributes:
        label: local version of the build, cpu or cu126; '' for whatever the index offers.
        index: URL of a package index that has it; '' for the index that pip is set to.
        reason: why this one.
    """

    label: str
    index: str
    reason: str

    @property
    def announcement(self) -> str:
        """One line with build, reason and about how much will be downloaded, packages included."""
        name = f"torch for {self.label}" if self.label else "torch"
        source = f" from {self.index}" if self.index else ""
        return f"{name}{source}: {self.reason}; {SIZES.get(self.label, CUDA_SIZE)} to download"


def choose_build(gpus: Sequence[Gpu], index: str = "", platform: str = sys.platform) -> Build:
    """Choose the build for these GPUs; `index` (the variable TORCH_INDEX) overrides the choice."""
    if index:
        label = re.search(r"/(cpu|cu\d+|rocm[\d.]+|xpu)/?$", index)
        return Build(label[1] if label else "", index, "TORCH_INDEX names its index")
    if platform != "linux":
        return Build("", "", "the only build for this system")
    if not gpus:
        return _from_pytorch(
            "cpu",
            "no GPU here (for other machines that use this folder, set TORCH_INDEX, such as "
            f"{PYTORCH_INDEX}/cu126)",
        )
    driver = min((gpu.driver for gpu in gpus), key=_major)
    capabilities = [gpu.capability for gpu in gpus if gpu.capability is not None]
    if capabilities and min(capabilities) < CUDA_13_CAPABILITY:
        major, minor = min(capabilities)
        return _from_pytorch(
            "cu126", f"builds of CUDA 13 have no kernels for compute capability {major}.{minor}"
        )
    if _major(driver) >= CUDA_13_DRIVER:
        return Build("", "", f"driver {driver} runs CUDA 13")
    if capabilities and max(capabilities) >= AFTER_CUDA_12_6:
        return Build(
            "", "", f"this GPU needs CUDA 13 and driver {CUDA_13_DRIVER}: update driver {driver}"
        )
    return _from_pytorch("cu126", f"driver {driver} is older than CUDA 13 needs ({CUDA_13_DRIVER})")


def _from_pytorch(label: str, reason: str) -> Build:
    return Build(label, f"{PYTORCH_INDEX}/{label}", reason)


def find_gpus() -> list[Gpu]:
    """The GPUs of this machine, by nvidia-smi; none without a working driver."""
    rows = _query("driver_version,compute_cap")
    if rows is None:  # drivers before 510 do not know compute_cap
        rows = _query("driver_version") or []
    return [Gpu(row[0], _capability(row[1]) if len(row) > 1 else None) for row in rows]


def _query(columns: str) -> list[list[str]] | None:
    command = ["nvidia-smi", f"--query-gpu={columns}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=NVIDIA_SMI_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.splitlines() if done.returncode == 0 else []
    return [re.split(", *", line.strip()) for line in lines if line.strip()] or None


def _capability(text: str) -> tuple[int, int] | None:
    match = re.fullmatch(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


def _major(driver: str) -> int:
    match = re.match(r"\d+", driver)
    return int(match[0]) if match else 0
