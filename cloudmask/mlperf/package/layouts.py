"""The folder layouts of a package: MLPerf HPC and MLCommons Science."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from cloudmask.mlperf.package.configuration import submission_blocks
from cloudmask.mlperf.package.contribution import contribution
from cloudmask.mlperf.package.pdf import write_pdf
from cloudmask.mlperf.package.power import write_power
from cloudmask.mlperf.package.readme import readme
from cloudmask.mlperf.package.request import Request, System, read_json
from cloudmask.mlperf.package.source_archive import unpack_source
from cloudmask.mlperf.package.system_folder import IMPLEMENTATION, write_system_folder

IMPLEMENTATIONS = "benchmarks/cloudmask/implementations"
HPC_LOGS = "result_{}.txt"
SCIENCE_LOGS = "result-{}.txt"
CONTRIBUTION = "sientific_contribution"  # so spelled in submit.adoc of MLCommons Science


def write_hpc_layout(request: Request, systems: Sequence[System], folder: Path) -> list[str]:
    """Write systems/, results/SYSTEM/strong/cloudmask/result_N.txt and benchmarks/.

    All results are of strong scaling, because the problem size is the same for all systems.
    Returns notes: which systems have no power logs, and why.
    """
    notes: list[str] = []
    benchmark = folder / "benchmarks" / "cloudmask"
    unpack_source(systems[0].setting.commit, benchmark / "implementations" / IMPLEMENTATION)
    for system in systems:
        of_system = benchmark / system.platform
        _write_configuration(system, of_system / f"{system.platform}.yaml", {})
        write_system_folder(system, of_system)
        _copy(system.description, folder / "systems" / f"{system.platform}.json")
        results = folder / "results" / system.platform / "strong" / "cloudmask"
        _copy_logs(system, results, HPC_LOGS)
        if reason := write_power(system, results):
            notes.append(f"{system.platform}: no power logs: {reason}")
        elif system.setting.nodes > 1:
            notes.append(
                f"{system.platform}: add the power of its interconnect to each folder of power/ as "
                "sw_K.txt (docs/power.md)"
            )
    text = readme(request, systems, HPC_LOGS, f"{IMPLEMENTATIONS}/{IMPLEMENTATION}")
    (folder / "README.md").write_text(text, encoding="utf-8")
    return notes


def write_science_layout(request: Request, systems: Sequence[System], folder: Path) -> None:
    """Write cloudmask/SYSTEM/DESCRIPTOR/ with all files of a system."""
    assert request.evaluation is not None  # see `validation`
    for system in systems:
        setting = system.setting
        descriptor = request.descriptor or f"{setting.dataset}-{setting.recipe}"
        entry = folder / "cloudmask" / system.platform / descriptor
        unpack_source(setting.commit, entry / "scripts")
        _write_configuration(system, entry / "config.yaml", submission_blocks(setting))
        _copy(system.description, entry / "system.json")
        _copy(request.evaluation, entry / "evaluation.json")
        _copy_logs(system, entry, SCIENCE_LOGS)
        report = read_json(request.evaluation)
        document = contribution(request, system, report)
        (entry / f"{CONTRIBUTION}.md").write_text(document, encoding="utf-8")
        write_pdf(document, entry / f"{CONTRIBUTION}.pdf")
        text = readme(request, [system], SCIENCE_LOGS, "scripts")
        (entry / "README.md").write_text(text, encoding="utf-8")


def _write_configuration(system: System, path: Path, blocks: Mapping[str, Any]) -> None:
    head = "# Parameters of every run of this system; the seed of each is in its log.\n"
    text = yaml.safe_dump({**blocks, **system.configuration}, sort_keys=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head + text, encoding="utf-8")


def _copy_logs(system: System, folder: Path, pattern: str) -> None:
    for number, run in enumerate(system.runs):
        _copy(run.path, folder / pattern.format(number))


def _copy(source: Path, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, destination)
