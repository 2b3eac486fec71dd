"""Checks of the environment: Python, packages, source, devices and their kernels, shared memory."""

import platform
import shutil
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
import torch
from packaging.requirements import Requirement

from cloudmask.distributed.process_group import require_kernels
from cloudmask.doctor.finding import Finding, gib
from cloudmask.errors import InputError
from cloudmask.files import make_temporary_folder, require_shared_memory
from cloudmask.machine.system.accelerators import driver_version
from cloudmask.machine.system.cgroups import usable_cores
from cloudmask.source import NoHistoryError, read_commit
from cloudmask.tables import counted

OLDEST_PYTHON = (3, 10)
SHARED_MEMORY = Path("/dev/shm")
# Bytes. NCCL places its buffers between the GPUs of a node there; a container's default, 64 MB,
# is too small for 16 GPUs.
LEAST_SHARED_MEMORY = 2**30


def check_python(found: tuple[int, int]) -> Finding:
    """The Python version against the oldest supported one."""
    text = ".".join(map(str, found))
    if found < OLDEST_PYTHON:
        return Finding("FAIL", "python", f"{text}: install {'.'.join(map(str, OLDEST_PYTHON))}")
    return Finding("ok", "python", f"{platform.python_implementation()} {text}")


def check_packages(pins: Sequence[Requirement]) -> Finding:
    """Installed packages against the pins: another version is a warning, a missing one a FAIL."""
    if not pins:
        return Finding("warning", "packages", "no requirements.txt beside the package to compare")
    missing, different = [], []
    for pin in pins:
        try:
            found = version(pin.name)
        except PackageNotFoundError:
            missing.append(str(pin))
            continue
        if not pin.specifier.contains(found, prereleases=True):
            different.append(f"{pin.name} {found} (tested{pin.specifier})")
    if missing:
        return Finding("FAIL", "packages", f"missing: install {', '.join(missing)}")
    if different:
        return Finding("warning", "packages", f"not as tested: {', '.join(different)}")
    return Finding("ok", "packages", f"{len(pins)} as pinned")


def check_source() -> Finding:
    """The commit that the log will contain."""
    try:
        commit = read_commit()
    except NoHistoryError as error:
        return Finding("warning", "source", f"commit unknown: {error}")
    if commit.endswith("-dirty"):
        return Finding("warning", "source", f"{commit}: files differ from their commit")
    return Finding("ok", "source", commit)


def check_devices(processes: int, kind: str = "auto") -> Iterator[Finding]:
    """GPUs, the kernels of this torch build for them, driver and NCCL; or the CPU cores.

    Args:
        kind: the parameter `device`: auto, cpu or cuda.
    """
    build = f"torch {torch.__version__}"
    if kind == "cpu":
        yield check_cores(processes)
        return
    if not torch.cuda.is_available():
        found = check_without_gpu(driver_version(), torch.version.cuda, processes)
        if kind == "cuda" and found.level != "FAIL":
            text = f"the system's device is cuda, and there is {found.text}"
            found = Finding("FAIL", "device", text)
        yield found
        return
    count, kernels = torch.cuda.device_count(), torch.cuda.get_arch_list()
    yield check_device_count(count, processes)
    devices = {
        (torch.cuda.get_device_name(index), torch.cuda.get_device_capability(index))
        for index in range(count)
    }
    for name, capability in sorted(devices):
        yield check_kernels(name, capability, kernels)
    free, total = torch.cuda.mem_get_info(0)
    yield Finding("ok", "GPU memory", f"{gib(free)} of {gib(total)} free on the first GPU")
    nccl = ".".join(map(str, torch.cuda.nccl.version()))
    driver = driver_version() or "unknown"
    yield Finding("ok", "driver", f"{driver}, CUDA {torch.version.cuda}, NCCL {nccl}, {build}")


def check_without_gpu(driver: str, cuda: str | None, processes: int) -> Finding:
    """A machine without a GPU that torch can use; `driver` is '' without an NVIDIA driver."""
    if not driver:
        cores = usable_cores()
        text = (
            f"no GPU: {counted(processes, 'process')} on {counted(cores, 'core', 'CPU')}, "
            f"torch {torch.__version__}"
        )
        return Finding("warning" if processes > cores else "ok", "device", text)
    reason = f"its CUDA {cuda} does not work with that driver" if cuda else "it has no CUDA"
    return Finding(
        "FAIL",
        "device",
        f"there are GPUs with driver {driver}, but torch {torch.__version__} sees none: {reason}; "
        "install a build for CUDA 12.6",
    )


def check_cores(processes: int, remark: str = "") -> Finding:
    """A CPU core for each process of the node."""
    cores = usable_cores()
    text = f"{remark}{processes} processes on {cores} CPU cores, torch {torch.__version__}"
    return Finding("warning" if processes > cores else "ok", "device", text)


def check_idle(busy: float, cores: int, usable: int) -> Finding:
    """Whether the node leaves this run the cores that it may use.

    Args:
        busy: how many cores' time other processes take now, on average.
        cores: cores of the node.
        usable: cores that this process may use.
    """
    text = f"other processes keep {busy:.1f} of {counted(cores, 'core')} busy"
    # Half a core: what a desktop and its services take.
    if usable + busy <= cores + 0.5:
        return Finding("ok", "idle", text)
    text += ": threads that share a core with them hold up all others, and a run takes many times "
    return Finding(
        "warning", "idle", text + "as long; wait, or set OMP_NUM_THREADS to what is free"
    )


def busy_cores(seconds: float = 0.5) -> float:
    """How many cores' time all processes of the node took, while this one waited so long."""
    return float(psutil.cpu_percent(seconds)) / 100 * int(psutil.cpu_count())


def check_device_count(count: int, processes: int) -> Finding:
    """One GPU for each process of the node."""
    text = f"{counted(count, 'GPU')} for {counted(processes, 'process')}"
    return Finding("FAIL" if count < processes else "ok", "device", text)


def check_kernels(name: str, capability: tuple[int, int], kernels: Sequence[str]) -> Finding:
    """Whether a build with these kernels (sm_70, compute_90) runs on such a device."""
    try:
        require_kernels(name, capability, kernels)
    except InputError as error:
        return Finding("FAIL", "kernels", str(error))
    major, minor = capability
    return Finding("ok", "kernels", f"{name} ({major}.{minor}) by {', '.join(kernels)}")


def check_temporary_folder() -> Finding:
    """The place of temporary files, which a run needs for its processes."""
    try:
        folder = make_temporary_folder()
    except InputError as error:
        return Finding("FAIL", "temporary", str(error))
    folder.rmdir()
    return Finding("ok", "temporary", f"{folder.parent} can be written")


def shared_memory() -> int:
    """Size of /dev/shm in bytes, 0 if there is none."""
    return shutil.disk_usage(SHARED_MEMORY).total if SHARED_MEMORY.is_dir() else 0


def check_shared_memory(total: int, gpu_processes: int) -> Finding:
    """The size of /dev/shm against what NCCL needs for the GPU processes of a node."""
    try:
        require_shared_memory()
    except InputError as error:
        return Finding("FAIL", "shared memory", str(error))
    text = f"{gib(total)} in {SHARED_MEMORY}"
    if gpu_processes > 1 and total < LEAST_SHARED_MEMORY:
        return Finding(
            "warning", "shared memory", f"{text} for NCCL: start the container with --ipc=host"
        )
    return Finding("ok", "shared memory", text)


def read_pins(file: Path) -> list[Requirement]:
    """The pins that apply to this Python version; empty if there is no such file."""
    lines = file.read_text().splitlines() if file.is_file() else []
    pins = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    return [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
