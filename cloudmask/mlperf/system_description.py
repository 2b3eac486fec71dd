"""The `system` command: the system description of a submission, 33 fields of the machine."""

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlperf_logging.system_desc_checker.system_desc_checker import check_system_desc

from cloudmask.errors import EXIT_OK, InputError
from cloudmask.machine.system.accelerators import describe_accelerators
from cloudmask.machine.system.node import describe_node
from cloudmask.machine.system.processors import describe_processors
from cloudmask.machine.system.software import describe_software, on_chip_memories
from cloudmask.mlperf.check.official_tools import RULESET, USAGE

# In the order of the official checker.
FIELDS = (
    *("submitter", "division", "status", "system_name", "number_of_nodes"),
    *("host_processors_per_node", "host_processor_model_name", "host_processor_core_count"),
    *("host_processor_vcpu_count", "host_processor_frequency", "host_processor_caches"),
    *("host_processor_interconnect", "host_memory_capacity", "host_storage_type"),
    *("host_storage_capacity", "host_networking", "host_networking_topology"),
    *("host_memory_configuration", "accelerators_per_node", "accelerator_model_name"),
    *("accelerator_host_interconnect", "accelerator_frequency", "accelerator_on-chip_memories"),
    *("accelerator_memory_configuration", "accelerator_memory_capacity"),
    *("accelerator_interconnect", "accelerator_interconnect_topology", "cooling", "hw_notes"),
    *("framework", "other_software_stack", "operating_system", "sw_notes"),
)
# Fields that cannot be read from the machine; they are asked for on a terminal.
QUESTIONS = {
    "submitter": "who submits",
    "division": "open or closed",
    "status": "cloud, onprem, preview or research",
    "system_name": "name of the system, as in config_<SYSTEM>.sh",
    "number_of_nodes": "number of nodes like this one",
}
CHOICES = {
    "division": ("open", "closed"),
    "status": ("cloud", "onprem", "preview", "research"),
}


def describe(given: Mapping[str, str]) -> dict[str, str]:
    """All fields: given, else read from the machine, else ''."""
    found = {
        **describe_processors(),
        **describe_node(),
        **describe_accelerators(),
        **describe_software(),
        "accelerator_on-chip_memories": on_chip_memories(),
        **given,
    }
    return {field: found.get(field, "") for field in FIELDS}


def write_description(
    given: Mapping[str, str], output: Path | None = None, overwrite: bool = False
) -> int:
    """Write the description to a file or print it; list unknown fields on standard error.

    On a terminal, the fields of `QUESTIONS` that are not given are asked for.

    Raises:
        InputError: an invalid value, a file that exists, or one that cannot be written.
    """
    _validate(given)
    if output is not None and output.exists() and not overwrite:
        raise InputError(f"{output}: exists already; give another --output, or --overwrite.")
    description = describe({**_ask(given), **given})
    text = json.dumps(description, indent=4, ensure_ascii=False) + "\n"
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "system.json"
        draft.write_text(text, encoding="utf-8")
        if not check_system_desc(draft, USAGE, RULESET)[0]:
            raise InputError("the official checker refuses the description; see its output above.")
    if output is None:
        print(text, end="")
    else:
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"{output}: cannot be written ({error.strerror}); give another --output."
            ) from error
    without = "accelerator_" if description["accelerators_per_node"] == "0" else ()
    unknown = [x for x, value in description.items() if not value and not x.startswith(without)]
    if unknown:
        print(
            f"unknown, left empty: {', '.join(unknown)}; give any with --set FIELD=VALUE",
            file=sys.stderr,
        )
    return EXIT_OK


def parse_fields(settings: Sequence[str]) -> dict[str, str]:
    """Fields and values of settings such as 'cooling=water'.

    Raises:
        InputError: a setting without '=', or an unknown field.
    """
    fields = {}
    for setting in settings:
        field, equals, value = setting.partition("=")
        if not equals or field not in FIELDS:
            raise InputError(
                f"--set {setting}: expected FIELD=VALUE with one of the fields {', '.join(FIELDS)}."
            )
        fields[field] = value
    return fields


def _validate(given: Mapping[str, str]) -> None:
    for field, choices in CHOICES.items():
        if given.get(field, "") not in ("", *choices):
            raise InputError(f"{field} is {given[field]}: expected {' or '.join(choices)}.")
    nodes = given.get("number_of_nodes", "")
    if nodes and not (nodes.isdecimal() and int(nodes) > 0):
        raise InputError(f"number_of_nodes is {nodes}: expected a number above 0.")


def _ask(given: Mapping[str, str]) -> dict[str, str]:
    """Answers from the terminal; empty if there is no terminal."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return {}
    answers = {}
    for field, question in QUESTIONS.items():
        if not given.get(field):
            print(f"{field} ({question}; empty if unknown): ", end="", file=sys.stderr, flush=True)
            answers[field] = sys.stdin.readline().strip()
    _validate(answers)
    return answers
