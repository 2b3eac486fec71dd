"""The command `system`, and what the official checker says of its file."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest
from mlperf_logging.system_desc_checker import system_desc_checker

from cloudmask.cli import main
from cloudmask.mlperf import system_description
from cloudmask.mlperf.system_description import FIELDS, describe
from tests.paths import ROOT

GIVEN = (
    *("--submitter", "An organisation", "--division", "open", "--status", "onprem"),
    *("--name", "CPU", "--nodes", "1"),
)


def test_the_official_checker_accepts_the_file(tmp_path, capsys):
    output = tmp_path / "systems" / "CPU.json"
    assert main(["system", *GIVEN, "--set", "cooling=air", "--output", str(output)]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "unknown, left empty: host_processor_interconnect" in said.err
    fields = json.loads(output.read_text())
    assert list(fields) == list(FIELDS)
    assert len(fields) == 33
    assert all(isinstance(value, str) for value in fields.values())
    assert fields["submitter"] == "An organisation"
    assert fields["cooling"] == "air"
    assert int(fields["host_processor_vcpu_count"]) >= 1
    assert fields["host_memory_capacity"].endswith("GiB")
    assert fields["framework"].startswith("PyTorch 2")
    command = [sys.executable, "-m", "mlperf_logging.system_desc_checker", output, "hpc", "3.0.0"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "System description checker passed for CPU" in done.stderr


def test_every_field_comes_from_its_source_and_given_ones_come_first(monkeypatch):
    sources = {
        "describe_processors": [x for x in FIELDS if x.startswith("host_processor")],
        "describe_node": ["host_memory_capacity", "operating_system", "hw_notes"],
        "describe_accelerators": [x for x in FIELDS if x.startswith("accelerator")],
        "describe_software": ["framework", "other_software_stack"],
    }
    for function, fields in sources.items():
        found = dict.fromkeys(fields, function)
        monkeypatch.setattr(system_description, function, lambda found=found: found)
    monkeypatch.setattr(system_description, "on_chip_memories", lambda: "L2 40 MiB")
    description = describe({"hw_notes": "given", "cooling": "water", "unknown": "left out"})
    assert list(description) == list(FIELDS)
    expected = {field: function for function, fields in sources.items() for field in fields}
    expected |= {"accelerator_on-chip_memories": "L2 40 MiB"}
    expected |= {"hw_notes": "given", "cooling": "water"}
    assert description == {**dict.fromkeys(FIELDS, ""), **expected}


def test_the_fields_are_those_that_the_official_checker_requires(tmp_path, caplog):
    empty = tmp_path / "empty.json"
    empty.write_text("{}")
    assert not system_desc_checker.check_system_desc(empty, "hpc", "3.0.0")[0]
    assert all(f"Missing field {field}" in caplog.text for field in FIELDS)
    assert caplog.text.count("Missing field") == len(FIELDS)


def test_without_a_terminal_nothing_is_asked_and_the_unknown_stays_empty():
    done = run(stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    output, error = done.communicate(timeout=120)
    fields = json.loads(output)
    assert fields["submitter"] == fields["status"] == fields["division"] == ""
    assert "unknown, left empty: submitter, division, status, system_name" in error
    assert done.returncode == 0


def test_on_a_terminal_what_is_not_given_is_asked_for():
    terminal, slave = pty.openpty()
    done = run("--division=closed", stdin=slave, stderr=slave)
    os.close(slave)
    os.write(terminal, b"Somebody\nresearch\n\n2\n")
    output, _ = done.communicate(timeout=120)
    said = os.read(terminal, 100_000).decode()
    os.close(terminal)
    fields = json.loads(output)
    assert fields["submitter"] == "Somebody"
    assert fields["division"] == "closed"
    assert fields["status"] == "research"
    assert fields["system_name"] == ""
    assert fields["number_of_nodes"] == "2"
    assert "submitter (who submits; empty if unknown):" in said
    assert "division (" not in said


def run(*flags: str, **streams: object) -> subprocess.Popen[str]:
    """The command in a process of its own, with no system named by the environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DGX")}
    command = [sys.executable, "-m", "cloudmask", "system", *flags]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, **streams
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--nodes=many"], "number_of_nodes is many: expected a number above 0"),
        (["--set=colour=blue"], "--set colour=blue: expected FIELD=VALUE with one of the fields"),
        (["--set=cooling"], "--set cooling: expected FIELD=VALUE"),
        (["--set=status=sold"], "status is sold: expected cloud or onprem or preview or research"),
        (["--output=/proc/nowhere/x.json"], "/proc/nowhere/x.json: cannot be written"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(capsys, flags, message):
    assert main(["system", *flags]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_a_description_that_exists_is_kept_unless_told(tmp_path, capsys):
    output = tmp_path / "CPU.json"
    output.write_text("by hand\n")
    assert main(["system", *GIVEN, "--output", str(output)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert output.read_text() == "by hand\n"
    assert main(["system", *GIVEN, "--output", str(output), "--overwrite"]) == 0
    assert json.loads(output.read_text())["system_name"] == "CPU"
