"""Compares the system description of a package with what its logs say of the machines.

A description is written by people, and a log by the machine: 'AMD EPYC 7763' and 'AMD EPYC 7763
64-Core Processor' are one model, 'AMD EPYC 7763' and 'AMD EPYC 7713' are not.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cloudmask.errors import InputError
from cloudmask.mlperf.log.run_summary import RunSummary
from cloudmask.mlperf.package.request import Request, System, read_json
from cloudmask.mlperf.system_description import FIELDS

# The one field that real submissions fill with an object, and the official checker lets pass.
MAY_BE_AN_OBJECT = "other_software_stack"
_MODELS = ("host_processor_model_name", "accelerator_model_name")
_SIZES = ("host_memory_capacity", "accelerator_memory_capacity")
# What the kernel or the driver shows is less than what is installed, and 1 GB less than 1 GiB.
SIZE_RATIO = 1.25
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT])i?B", re.IGNORECASE)
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4}
# A number with a unit is a property of a model, not its name.
_PROPERTY = re.compile(r"\d+(w|gb|gib|core|cores|ghz|mhz)|\d+")
_FORM = re.compile(r"(pcie|sxm|nvl)\d?")  # of a GPU: the same number is another device
_PYTORCH = re.compile(r"\bpytorch (\d+\.\d+\.\d+)", re.IGNORECASE)


def description_errors(request: Request, system: System, run: RunSummary) -> Iterator[str]:
    """Every reason why the description of a system cannot be packaged with its runs."""
    path = system.description
    if not path.is_file():
        yield (
            f"{system.platform}: no system description {path}; make it on that system with "
            f"`cloudmask system --output {path}`, or name it with --system-description"
        )
        return
    try:
        description = read_json(path)
    except InputError as error:
        yield str(error)
        return
    yield from _wrong_types(path, description)
    expected = {
        "submitter": request.submitter,
        "division": run.division,
        "number_of_nodes": str(run.nodes),
        "accelerators_per_node": str(run.accelerators_per_node),
    }
    for key, value in expected.items():
        if key in description and description[key] != value:
            yield f"{path}: {key} is {description[key]!r}, of the package and its logs {value!r}"
    for machine in run.machines:
        for key, logged in contradictions(description, machine):
            yield f"{path}: {key} is {description[key]!r}, but the logs are of {logged!r}"


def contradictions(
    description: Mapping[str, Any], machine: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """The fields that cannot be of a machine, with what its log says; unknown ones are skipped."""
    checks = {
        **dict.fromkeys(_MODELS, _same_model),
        **dict.fromkeys(_SIZES, _same_size),
        "host_processors_per_node": _same_text,
        "framework": _same_framework,
    }
    for key, same in checks.items():
        described, logged = description.get(key), machine.get(key)
        known = isinstance(described, str) and described.strip() and logged
        if known and not same(str(described), str(logged)):
            yield key, str(logged)
    cores = _cores(machine)
    described = str(description.get("host_processor_core_count", ""))
    if described.isdecimal() and cores and int(described) not in cores:
        yield "host_processor_core_count", " or ".join(map(str, sorted(cores)))


def _wrong_types(path: Path, description: Mapping[str, Any]) -> Iterator[str]:
    missing = [field for field in FIELDS if field not in description]
    wrong = [
        key
        for key, value in description.items()
        if not isinstance(value, str) and not (key == MAY_BE_AN_OBJECT and isinstance(value, dict))
    ]
    if wrong:
        yield f"{path}: not strings, as the official checker wants all fields: {', '.join(wrong)}"
    if missing:
        yield f"{path}: lacks fields of a system description: {', '.join(missing)}"


def _cores(machine: Mapping[str, Any]) -> set[int]:
    """The cores of a processor, and those of all: both are written into the same field."""
    values = [machine.get(f"host_processor{x}", "") for x in ("_core_count", "s_per_node")]
    if not all(str(value).isdecimal() for value in values):
        return set()
    cores, processors = map(int, values)
    return {cores, cores * processors}


def _same_text(described: str, logged: str) -> bool:
    return described.strip() == logged.strip()


def _same_model(described: str, logged: str) -> bool:
    """Whether the numbers of the models agree; without numbers, whether a word does."""
    words = [_words(text) for text in (described, logged)]
    numbers = [
        {x for x in found if re.search(r"\d", x) and not _PROPERTY.fullmatch(x)}
        | {x for x in found if x.isdecimal() and len(x) > 2}
        for found in words
    ]
    forms = [{x[1] for word in found if (x := _FORM.fullmatch(word))} for found in words]
    if all(forms) and not forms[0] & forms[1]:
        return False
    one, other = numbers if all(numbers) else words
    return bool(one & other) and (one <= other or other <= one or not all(numbers))


def _words(text: str) -> set[str]:
    plain = re.sub(r"\((?:r|tm)\)|@.*", " ", text.lower())
    return set(re.findall(r"[a-z0-9]+", plain))


def _same_size(described: str, logged: str) -> bool:
    sizes = [
        float(found[1]) * 1024 ** _POWERS[found[2].lower()]
        for text in (described, logged)
        if (found := _SIZE.search(text))
    ]
    return len(sizes) < 2 or max(sizes) <= SIZE_RATIO * min(sizes)


def _same_framework(described: str, logged: str) -> bool:
    versions = [found[1] for text in (described, logged) if (found := _PYTORCH.search(text))]
    return len(versions) < 2 or versions[0] == versions[1]
