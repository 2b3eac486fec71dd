"""The `check` command: the official MLPerf compliance checker and our own checks of a log.

The official checker and the official common rules, unmodified, read CloudMask's rules through an
overlay of the installed package (`official_tools`). `forensics` checks what the official checker
does not, and `rcp` compares with the reference convergence points.
"""

import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cloudmask.errors import EXIT_NO, EXIT_OK
from cloudmask.mlperf.check.foreign import foreign_benchmark
from cloudmask.mlperf.check.forensics import examine
from cloudmask.mlperf.check.official_tools import (
    RULESET,
    USAGE,
    mlperf_logging_overlay,
    run_module,
)
from cloudmask.mlperf.check.rcp import early_convergence
from cloudmask.mlperf.check.violation import Violation
from cloudmask.mlperf.log.lines import (
    LARGEST_LOG,
    LogLine,
    other_format,
    read_lines,
    require_file,
    too_large,
)
from cloudmask.tables import counted

# The values that select the rule file of the official checker.
_EXPECTED = {"submission_benchmark": ("cloudmask",), "submission_division": ("open", "closed")}


@dataclass(frozen=True)
class CheckReport:
    """The result of checking one log."""

    path: Path
    accepted: bool
    output: str  # of the official checker; '' if the log was refused before it ran
    violations: list[Violation] = field(default_factory=list)  # why the log is refused
    warnings: list[Violation] = field(default_factory=list)  # implausible, but allowed


def check(path: Path) -> CheckReport:
    """Check one log.

    A log of another benchmark is refused for this one reason: none of our checks is meant for it.
    A log with lines of another benchmark or division is refused before the official checker runs,
    because that checker executes a rule file whose path it builds from these two values. A file
    above `LARGEST_LOG` is refused too, because that checker holds all of it in memory.

    Raises:
        InputError: the file does not exist, is not a regular file or cannot be read; or the
            official checker cannot be started, so that nothing is known about the log.
    """
    size = require_file(path)
    if problem := other_format(path):
        return CheckReport(path, False, "", [Violation(None, None, problem)])
    if foreign := foreign_benchmark(path):
        return CheckReport(path, False, "", [foreign])
    forensic = examine(path)
    if forensic.left_out:
        problem = f"{forensic.left_out} more of the same kinds"
        forensic.warnings.append(Violation(None, None, problem, warning=True))
    if size > LARGEST_LOG:
        refusal = [Violation(None, None, too_large(size)), *forensic.violations]
        return CheckReport(path, False, "", refusal, forensic.warnings)
    lines = read_lines(path)
    if not lines:
        problem = "this is no log: no line has an MLLOG event; give the result_N.txt of a run"
        return CheckReport(path, False, "", [Violation(None, None, problem)])
    if others := foreign_values(lines):
        return CheckReport(path, False, "", others + forensic.violations, forensic.warnings)
    with mlperf_logging_overlay() as overlay:
        completed = _run_official_checker(overlay, path)
        output = completed.stderr.replace(f"{overlay}{os.sep}", "")
    found = _unreadable(lines) + [_violation(message, lines) for message in _messages(output)]
    warnings = [violation for violation in found if violation.warning]
    warnings += [
        Violation("run_stop", None, text, warning=True) for text in early_convergence(path)
    ]
    violations = [violation for violation in found if not violation.warning]
    if not re.search(r"^(?:INFO - SUCCESS|ERROR - FAILED)$", output, re.MULTILINE):
        last = (output.strip().splitlines() or ["no output"])[-1]
        violations.append(Violation(None, None, f"the checker itself failed: {last}"))
    reported = {(violation.key, violation.line) for violation in violations}
    violations += [x for x in forensic.violations if (x.key, x.line) not in reported]
    accepted = completed.returncode == 0 and not violations
    return CheckReport(path, accepted, output, violations, warnings + forensic.warnings)


def check_files(paths: Sequence[Path], *, as_json: bool = False) -> int:
    """Check the logs and print a report of each; returns the exit code.

    For each file, its warnings and violations are printed, then a line with the verdict; or one
    JSON list of all reports. Returns `EXIT_OK` if all are accepted, else `EXIT_NO`.

    Raises:
        InputError: as `check`; an unusable file, before any log is checked.
    """
    for path in paths:
        require_file(path)
    reports = []
    for path in paths:
        reports.append(check(path))
        if not as_json:
            _print(reports[-1])
    if as_json:
        print(json.dumps([_as_json(report) for report in reports], indent=2))
    return EXIT_OK if all(report.accepted for report in reports) else EXIT_NO


def _print(report: CheckReport) -> None:
    for found in [*report.warnings, *report.violations]:
        print(f"  {'warning: ' if found.warning else ''}{found}")
    verdict = f"{report.path}: {counted(len(report.violations), 'violation')}"
    print(f"SUCCESS  {report.path}" if report.accepted else f"FAILED  {verdict}", flush=True)


def _as_json(report: CheckReport) -> dict[str, Any]:
    return {
        "log": str(report.path),
        "accepted": report.accepted,
        "violations": [asdict(violation) for violation in report.violations],
        "warnings": [asdict(violation) for violation in report.warnings],
    }


def foreign_values(lines: Sequence[LogLine]) -> list[Violation]:
    """The lines of another benchmark or division than CloudMask's."""
    violations = []
    for line in lines:
        record: dict[str, Any] = line.record or {}
        expected = _EXPECTED.get(str(record.get("key")))
        if expected and record["value"] not in expected:
            problem = f"is {record['value']!r}, expected {' or '.join(map(repr, expected))}"
            violations.append(Violation(record["key"], line.number, problem, line.text))
    return violations


def _unreadable(lines: Sequence[LogLine]) -> list[Violation]:
    """The lines that are no MLLOG record: the official checker does not give their numbers."""
    problem = "not a JSON object with time_ms, key, value and metadata"
    return [Violation(None, x.number, problem, x.text) for x in lines if x.record is None]


def _run_official_checker(overlay: Path, path: Path) -> "subprocess.CompletedProcess[str]":
    command = ["mlperf_logging.compliance_checker", "--usage", USAGE, "--ruleset", RULESET]
    command += ["--log_output", str(overlay / "compliance_checker.log"), str(path.resolve())]
    return run_module(overlay, *command)


# The output of the official checker (mlp_compliance.py): records 'LEVEL - message', of which the
# last WARNING holds all messages, separated by a line of 30 hyphens. Lines that cannot be parsed
# are warnings too, indented by more spaces.
_MESSAGES = re.compile(r"^WARNING -  (?! |Found parsing errors)", re.MULTILINE)
_RECORD = re.compile(r"^(?:INFO|WARNING|ERROR) - ", re.MULTILINE)
_SEPARATOR = "\n" + "-" * 30 + "\n"
_FAILED_CHECK = re.compile(
    r"CHECK for '(.*?)' failed in line (\d+):\n(.*)\nfailed test: (.*)", re.S
)
_FAILED_CODE = re.compile(r"Failed executing CHECK code:\n(.*)\ntriggered by line:\n(.*)", re.S)
_FAILED_ACTION = re.compile(r"(Failed executing code \w+) code triggered by line :\n(.*)")
_FAILED_ANY = re.compile(r"Failed checks for (\S+) : (.*)", re.S)
_REQUIRED = re.compile(r"Required \S+ occurrence of '([^']*)' but found .*", re.S)
_REPEATED = re.compile(r"Required EXACTLY_ONE occurrence of '.*?' but found ([2-9]|[1-9]\d+)")


def _messages(output: str) -> list[str]:
    """The official checker's messages, without its dumps of state."""
    starts = list(_MESSAGES.finditer(output))
    if not starts:
        return []
    block = output[starts[-1].end() :]
    end = _RECORD.search(block)
    block = block[: end.start()] if end else block
    return [
        message.partition("\ncurrent context[s]=")[0].strip()
        for message in block.strip("\n").split(_SEPARATOR)
    ]


def _violation(message: str, lines: Sequence[LogLine]) -> Violation:
    if match := _FAILED_CHECK.fullmatch(message):
        # The official checker counts MLLOG lines from 0, and no other lines.
        line = lines[int(match[2])]
        return Violation(match[1], line.number, f"failed test: {match[4].strip()}", line.text)
    if match := _FAILED_CODE.fullmatch(message):
        return _located(f"cannot evaluate: {match[1].strip()}", match[2], lines)
    if match := _FAILED_ACTION.fullmatch(message):
        return _located(match[1], match[2], lines)
    if match := _FAILED_ANY.fullmatch(message):
        return Violation(match[1], None, f"no line passes: {match[2].strip()}")
    if match := _REQUIRED.fullmatch(message):
        # A key that should occur once but is repeated with the same value is only a warning.
        repeated = _REPEATED.fullmatch(message) is not None
        return Violation(match[1], None, message, warning=repeated)
    return Violation(None, None, message)


def _located(problem: str, text: str, lines: Sequence[LogLine]) -> Violation:
    for line in lines:
        if line.text == text.strip():
            return Violation((line.record or {}).get("key"), line.number, problem, line.text)
    return Violation(None, None, problem, text.strip())
