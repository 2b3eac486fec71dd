"""The command `doctor`: its findings, exit code and health line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
import torch

from cloudmask.cli import main
from cloudmask.config import configure
from cloudmask.doctor import command, environment
from cloudmask.doctor.command import diagnose, health_line
from cloudmask.doctor.finding import Finding, gib
from tests.paths import ROOT


def doctor(*flags: object) -> subprocess.CompletedProcess[str]:
    """`cloudmask doctor` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "cloudmask", "doctor", *map(str, flags)],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_finding_is_one_line_with_its_level_first():
    assert str(Finding("FAIL", "disk", "full")) == "FAIL     disk           full"
    assert gib(3 * 2**29) == "1.5 GiB"


@pytest.mark.parametrize(
    ("levels", "code", "verdict"),
    [
        (["ok", "warning"], 0, "ready to run"),
        (["ok", "FAIL", "warning", "FAIL"], 1, "2 of the checks failed"),
    ],
)
def test_only_failures_fail_the_command(monkeypatch, levels, code, verdict):
    found = [Finding(level, "disk", "text") for level in levels]
    monkeypatch.setattr(command, "findings", lambda config: found)
    printed = []
    assert diagnose(configure([]), printed.append) == code
    assert printed == [*map(str, found), verdict]


def test_findings_as_json(monkeypatch, capsys):
    found = [Finding("ok", "disk", "text"), Finding("FAIL", "data", "none")]
    monkeypatch.setattr(command, "findings", lambda config: found)
    assert main(["doctor", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "ready": False,
        "findings": [
            {"level": "ok", "subject": "disk", "text": "text"},
            {"level": "FAIL", "subject": "data", "text": "none"},
        ],
    }


def test_every_check_has_a_finding(two_scenes, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(environment, "driver_version", lambda: "")
    config = configure([f"--datadir={two_scenes}", f"--logdir={tmp_path / 'logs'}"])
    assert list(dict.fromkeys(finding.subject for finding in command.findings(config))) == [
        *("python", "packages", "source", "device", "idle", "configuration", "data", "memory"),
        *("shared memory", "temporary", "disk", "LOGDIR", "caches"),
    ]
    assert not (tmp_path / "logs").exists()


def test_the_health_line_has_device_memory_and_user():
    assert re.fullmatch(
        r"health: .+, torch .+, [\d.]+ GiB memory free, [\d.]+ GiB shared memory, user \d+",
        health_line(),
    )


def test_an_unknown_parameter_is_bad_input(capsys):
    assert main(["doctor", "--batch-sise=2"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.slow
def test_a_machine_that_can_do_the_run_is_ready(two_scenes, tmp_path):
    done = doctor("--datadir", two_scenes, "--logdir", tmp_path / "logs")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 training scenes" in done.stdout
    assert "20 and 20 patches" in done.stdout
    assert "1 inference scene in" in done.stdout
    assert re.search(r"^ok +disk +\d+ MB/s at most, scene S3A", done.stdout, re.MULTILINE)
    assert not (tmp_path / "logs").exists()  # looking leaves nothing behind


@pytest.mark.slow
def test_every_failure_has_its_line_and_the_exit_code_is_1(tmp_path):
    (tmp_path / "file").touch()
    done = doctor("--datadir", tmp_path / "nowhere", "--logdir", tmp_path / "file" / "logs")
    assert done.returncode == 1
    failures = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert len(failures) == 2, done.stdout
    assert "nowhere does not exist" in failures[0]
    assert "LOGDIR" in failures[1]


@pytest.mark.slow
def test_the_health_line_is_one_line():
    done = doctor("--health")
    assert done.returncode == 0
    assert re.fullmatch(r"health: .*torch .*memory free, .*shared memory, user \d+\n", done.stdout)
