"""A system description against the machines of the logs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloudmask.mlperf.log.run_summary import read_summary
from cloudmask.mlperf.package.description import contradictions, description_errors
from cloudmask.mlperf.package.request import Request, System
from cloudmask.mlperf.score.runs import Run
from tests.mlperf.package.submission_files import write_description
from tests.mlperf.run_events import Event, complete_run

EPYC = {
    "host_processors_per_node": "2",
    "host_processor_model_name": "AMD EPYC 7763 64-Core Processor",
    "host_processor_core_count": "64",
    "host_memory_capacity": "503.4 GiB",
    "accelerator_model_name": "NVIDIA A100-SXM4-40GB",
    "accelerator_memory_capacity": "40 GiB",
    "framework": "PyTorch 2.13.0+cu126",
}
XEON = {"host_processor_model_name": "Intel(R) Xeon(R) Platinum 8168 CPU @ 2.70GHz"}
Real = Callable[[str], Path]


@pytest.mark.parametrize(
    ("field", "described", "machine"),
    [
        ("host_processor_model_name", "AMD EPYC 7763", EPYC),
        ("host_processor_model_name", "EPYC 7763 64-Core", EPYC),
        ("host_processor_model_name", "Intel Xeon Platinum 8168", XEON),
        ("host_processor_model_name", "", EPYC),
        ("host_processor_core_count", "64", EPYC),
        ("host_processor_core_count", "128", EPYC),
        ("host_memory_capacity", "512 GB DDR4", EPYC),
        ("host_memory_capacity", "0.5 TB", EPYC),
        ("accelerator_model_name", "NVIDIA A100-SXM4-40GB (400W)", EPYC),
        ("framework", "PyTorch NVIDIA Release 23.09", EPYC),
        ("framework", "PyTorch 2.13.0", EPYC),
    ],
)
def test_what_people_write_of_the_same_machine_passes(
    field: str, described: str, machine: dict[str, str]
) -> None:
    assert list(contradictions({field: described}, machine)) == []


@pytest.mark.parametrize(
    ("field", "described", "machine", "logged"),
    [
        ("host_processor_model_name", "AMD EPYC 7713", EPYC, "AMD EPYC 7763 64-Core Processor"),
        ("host_processor_model_name", "Intel Xeon", EPYC, "AMD EPYC 7763 64-Core Processor"),
        ("host_processors_per_node", "1", EPYC, "2"),
        ("host_processor_core_count", "32", EPYC, "64 or 128"),
        ("host_memory_capacity", "1.5 TB", EPYC, "503.4 GiB"),
        ("accelerator_model_name", "NVIDIA H100 80GB HBM3", EPYC, "NVIDIA A100-SXM4-40GB"),
        ("accelerator_model_name", "NVIDIA A100-PCIE-40GB", EPYC, "NVIDIA A100-SXM4-40GB"),
        ("accelerator_memory_capacity", "80 GB", EPYC, "40 GiB"),
        ("framework", "PyTorch 2.11.0", EPYC, "PyTorch 2.13.0+cu126"),
    ],
)
def test_another_machine_is_a_contradiction(
    field: str, described: str, machine: dict[str, str], logged: str
) -> None:
    assert list(contradictions({field: described}, machine)) == [(field, logged)]


@pytest.fixture
def errors(tmp_path: Path) -> Callable[[Path], list[str]]:
    """The errors of a description with a run on a machine like `EPYC`."""
    run = complete_run("open")
    run.insert(run.at("cache_clear"), Event("event", "system_description", EPYC))
    summary = read_summary(run.write(tmp_path / "result_0.txt"))

    def found(path: Path) -> list[str]:
        system = System("Big", [Run(summary.path, summary, ())], path)
        return list(description_errors(Request("hpc", "Acme", [], tmp_path), system, summary))

    return found


def test_a_description_of_another_machine_is_refused(
    tmp_path: Path, errors: Callable[[Path], list[str]]
) -> None:
    path = write_description(tmp_path / "Big.json", accelerator_model_name="NVIDIA H100 80GB HBM3")
    assert errors(path) == [
        f"{path}: accelerator_model_name is 'NVIDIA H100 80GB HBM3', "
        "but the logs are of 'NVIDIA A100-SXM4-40GB'"
    ]


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"other_software_stack": {"cuda_version": "12.2"}}, None),
        ({"other_software_stack": ["CUDA 12.2"]}, "other_software_stack"),
        ({"framework": {"a": "b"}}, "framework"),
    ],
)
def test_only_the_software_stack_may_be_an_object(
    tmp_path: Path,
    errors: Callable[[Path], list[str]],
    changes: dict[str, Any],
    wrong: str | None,
) -> None:
    path = write_description(tmp_path / "Big.json", **changes)
    message = f"{path}: not strings, as the official checker wants all fields: {wrong}"
    assert errors(path) == ([message] if wrong else [])


@pytest.mark.parametrize("name", ["Clemson", "Dell", "HPE_LBNL", "TACC", "eos"])
def test_descriptions_of_real_submissions_have_the_right_form(
    real: Real, errors: Callable[[Path], list[str]], name: str
) -> None:
    path = real(f"mlperf/{name}.json")
    assert "submitter" in json.loads(path.read_text())
    assert not [x for x in errors(path) if "not strings" in x or "lacks fields" in x]


def test_an_object_elsewhere_is_named(real: Real, errors: Callable[[Path], list[str]]) -> None:
    path = real("mlperf/eos_dict_elsewhere.json")
    assert f"{path}: not strings, as the official checker wants all fields: framework" in (
        errors(path)
    )
