"""Runs all checks and prints their findings, and the health line.

What would stop the run is a FAIL; what would slow it down or make its log incomplete is a warning.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict

import psutil
import torch

from cloudmask.config import Config
from cloudmask.doctor import environment, readiness
from cloudmask.doctor.finding import Finding, gib
from cloudmask.errors import EXIT_NO, EXIT_OK
from cloudmask.machine.system.accelerators import driver_version
from cloudmask.machine.system.cgroups import available_memory, usable_cores
from cloudmask.source import SOURCE_ROOT
from cloudmask.tables import counted


def diagnose(config: Config, say: Callable[[str], object] = print, *, as_json: bool = False) -> int:
    """Run all checks and print their findings; returns 1 if any is a FAIL, else 0."""
    found = []
    for finding in findings(config):
        found.append(finding)
        if not as_json:
            say(str(finding))
    failures = sum(finding.level == "FAIL" for finding in found)
    if as_json:
        listed = [asdict(finding) for finding in found]
        say(json.dumps({"ready": not failures, "findings": listed}, indent=2))
    else:
        say(f"{failures} of the checks failed" if failures else "ready to run")
    return EXIT_NO if failures else EXIT_OK


def findings(config: Config) -> Iterator[Finding]:
    """All findings, in the order in which a run would need them."""
    yield environment.check_python(sys.version_info[:2])
    yield environment.check_packages(environment.read_pins(SOURCE_ROOT / "requirements.txt"))
    yield environment.check_source()
    yield from environment.check_devices(config.processes_per_node, config.device)
    yield environment.check_idle(environment.busy_cores(), psutil.cpu_count(), usable_cores())
    yield readiness.check_configuration(config)
    yield from readiness.check_submission(config)
    yield from readiness.check_data(config)
    yield readiness.check_memory(config)
    gpu_processes = (
        config.processes_per_node if config.device != "cpu" and torch.cuda.is_available() else 0
    )
    yield environment.check_shared_memory(environment.shared_memory(), gpu_processes)
    yield environment.check_temporary_folder()
    yield readiness.check_disk(config)
    yield readiness.check_log_folder(config.log_folder)
    yield readiness.check_caches(config)


def health_line() -> str:
    """Device, torch, its kernels, driver, free memory and shared memory, in one line."""
    build = f"torch {torch.__version__}"
    if torch.cuda.is_available():
        major, minor = torch.cuda.get_device_capability(0)
        device = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)} ({major}.{minor})"
        build += f" for {' '.join(torch.cuda.get_arch_list())}"
        build += f", driver {driver_version() or 'unknown'}"
    else:
        device = f"no GPU, {counted(usable_cores(), 'core', 'CPU')}"
    memory = available_memory()
    return (
        f"health: {device}, {build}, {gib(memory)} memory free, "
        f"{gib(environment.shared_memory())} shared memory, user {os.getuid()}"
    )
