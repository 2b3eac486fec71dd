"""Damage at random to a good log is refused if it breaks a rule, and accepted if it does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from cloudmask.mlperf.check.command import check, foreign_values
from cloudmask.mlperf.check.forensics import examine
from cloudmask.mlperf.check.official_tools import mlperf_logging_overlay
from cloudmask.mlperf.log.lines import read_lines
from tests.mlperf.check.file_mutations import BREAKING_FILES, HARMLESS
from tests.mlperf.check.mutations import BREAKING_EVENTS, Mutation
from tests.mlperf.log_text import as_bytes, good_log

BREAKING = [*BREAKING_EVENTS, *BREAKING_FILES]
# Mutations of each kind; CLOUDMASK_MUTATIONS=40 tries over a thousand.
OF_EACH_KIND = int(os.environ.get("CLOUDMASK_MUTATIONS", "4"))
SEED = 20260101

# The official engine on many files in one process: what `check` does for one, without the start.
ENGINE = """
import json, sys
from mlperf_logging.compliance_checker import mlp_compliance
accepted = []
for path in json.load(sys.stdin):
    mlp_compliance.enqueued_configs.clear()
    checker = mlp_compliance.make_checker("hpc", "3.0.0", False, False)
    try:
        accepted.append(mlp_compliance.main(path, "hpc_3.0.0/common.yaml", checker)[0])
    except Exception:
        accepted.append(False)
print(json.dumps(accepted))
"""


def make(folder: Path, mutation: Mutation, number: int) -> Path:
    """A good log with one mutation."""
    rng = Random(f"{SEED} {mutation.__name__} {number}")
    path = folder / f"{mutation.__name__}_{number}.txt"
    path.write_bytes(as_bytes(mutation(rng, good_log("3f9a51c7"))))
    return path


def accepted_by_engine(paths: list[Path]) -> list[bool]:
    """What the official engine says of each file, with the CloudMask rules in place."""
    with mlperf_logging_overlay() as view:
        done = subprocess.run(
            [sys.executable, "-c", ENGINE],
            cwd=view,
            env={**os.environ, "PYTHONPATH": str(view), "PYTHONDONTWRITEBYTECODE": "1"},
            input=json.dumps([str(path) for path in paths]),
            capture_output=True,
            text=True,
            check=True,
        )
    accepted: list[bool] = json.loads(done.stdout)
    return accepted


def refused_before_the_engine(path: Path) -> bool:
    """What `check` refuses by itself."""
    return bool(examine(path).violations) or bool(foreign_values(read_lines(path)))


def test_mutations_that_break_a_rule_are_all_refused(tmp_path):
    paths = [make(tmp_path, kind, number) for kind in BREAKING for number in range(OF_EACH_KIND)]
    assert len(BREAKING) > 25
    assert len({path.read_bytes() for path in paths}) > 2 / 3 * len(paths)
    left = [path for path in paths if not refused_before_the_engine(path)]
    passed = [
        path for path, accepted in zip(left, accepted_by_engine(left), strict=True) if accepted
    ]
    assert sorted(path.stem for path in passed) == []


def test_mutations_that_break_no_rule_are_all_accepted(tmp_path):
    paths = [make(tmp_path, kind, number) for kind in HARMLESS for number in range(OF_EACH_KIND)]
    violations = {
        path.stem: [str(found) for found in found_there]
        for path in paths
        if (found_there := examine(path).violations)
    }
    assert violations == {}
    refused = [
        path.stem
        for path, accepted in zip(paths, accepted_by_engine(paths), strict=True)
        if not accepted
    ]
    assert refused == []


@pytest.mark.parametrize("mutation", [BREAKING[0], BREAKING[3], BREAKING[-3], HARMLESS[0]])
def test_the_command_says_the_same(tmp_path, mutation):
    assert check(make(tmp_path, mutation, 0)).accepted == (mutation in HARMLESS)
