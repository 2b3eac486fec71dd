"""Whether a log is accepted: by the official MLPerf compliance checker, and as evidence.

The official engine and the official common rules, unmodified, see CloudMask's rules through an
overlay of the installed package (`official_tools`). What they do not look for is found by
`forensics` and, against the reference convergence points, by `rcp`.
"""

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloudmask.errors import EXIT_OK
from cloudmask.mlperf.check.forensics import examine
from cloudmask.mlperf.check.official_tools import RULESET, USAGE, overlay, run_in
from cloudmask.mlperf.check.rcp import early_convergence
from cloudmask.mlperf.check.violation import Violation
from cloudmask.mlperf.log.lines import LARGEST_LOG, LogLine, read_lines, require_file, too_large

EXIT_REFUSED = 1

# The values that decide which rule file the engine loads.
_EXPECTED = {"submission_benchmark": ("cloudmask",), "submission_division": ("open", "closed")}


@dataclass(frozen=True)
class CheckReport:
    """What is to be said of one log.

    `output` is all that the official checker printed, '' if the file was refused before.
    `violations` are the reasons for a refusal; `warnings` are worth a look.
    """

    path: Path
    accepted: bool
    output: str
    violations: list[Violation] = field(default_factory=list)
    warnings: list[Violation] = field(default_factory=list)


def check(path: Path) -> CheckReport:
    """Examines one log, and asks the official checker.

    A log of another benchmark or division is refused before the engine sees it: the engine loads,
    and executes, the rule file whose path it makes of these two values. So is a file too large
    for the engine, which holds all of it in memory.

    Raises:
        InputError: the file does not exist, is not a regular file or cannot be read.
    """
    size = require_file(path)
    findings = examine(path)
    if findings.more:
        more = Violation(None, None, f"{findings.more} more of the same kinds", odd=True)
        findings.warnings.append(more)
    if size > LARGEST_LOG:
        refusal = [Violation(None, None, too_large(size)), *findings.violations]
        return CheckReport(path, False, "", refusal, findings.warnings)
    lines = read_lines(path)
    foreign = _foreign_values(lines)
    if foreign:
        return CheckReport(path, False, "", foreign + findings.violations, findings.warnings)
    with overlay() as view:
        completed = _run_engine(view, path)
        output = completed.stderr.replace(f"{view}{os.sep}", "")
    messages = _unreadable(lines)
    messages += [_violation(message, lines) for message in _messages(output)]
    warnings = [found for found in messages if _is_warning(found)]
    warnings += [Violation("run_stop", None, text, odd=True) for text in early_convergence(path)]
    violations = [found for found in messages if not _is_warning(found)]
    finished = re.search(r"^(?:INFO - SUCCESS|ERROR - FAILED)$", output, re.MULTILINE)
    if not finished:
        last = (output.strip().splitlines() or ["no output"])[-1]
        violations.append(Violation(None, None, f"the checker itself failed: {last}"))
    named = {(found.key, found.line) for found in violations}
    violations += [found for found in findings.violations if (found.key, found.line) not in named]
    accepted = completed.returncode == 0 and not violations
    return CheckReport(path, accepted, output, violations, warnings + findings.warnings)


def check_files(paths: Sequence[Path]) -> int:
    """Checks the logs, prints what is to be said of each, returns the exit code.

    Per file: one block per violation, then a line with the verdict and the file. The exit code is
    `EXIT_OK` if all are accepted, else `EXIT_REFUSED`.

    Raises:
        InputError: as `check`, and then before any log is checked.
    """
    for path in paths:
        require_file(path)
    refused = 0
    for path in paths:
        report = check(path)
        for warning in report.warnings:
            print(f"  warning: {warning}")
        for violation in report.violations:
            print(f"  {violation}")
        print(_verdict(report), flush=True)
        refused += not report.accepted
    return EXIT_REFUSED if refused else EXIT_OK


def _verdict(report: CheckReport) -> str:
    if report.accepted:
        return f"SUCCESS  {report.path}"
    count = len(report.violations)
    return f"FAILED  {report.path}: {count} violation{'s' if count != 1 else ''}"


def _foreign_values(lines: Sequence[LogLine]) -> list[Violation]:
    violations = []
    for line in lines:
        record: dict[str, Any] = line.record or {}
        expected = _EXPECTED.get(str(record.get("key")))
        if expected and record["value"] not in expected:
            problem = f"is {record['value']!r}, expected {' or '.join(map(repr, expected))}"
            violations.append(Violation(record["key"], line.number, problem, line.text))
    return violations


def _unreadable(lines: Sequence[LogLine]) -> list[Violation]:
    """The lines that the engine reports, or fails on, without a number."""
    problem = "not a JSON object with time_ms, key, value and metadata"
    return [Violation(None, x.number, problem, x.text) for x in lines if x.record is None]


def _run_engine(view: Path, path: Path) -> "subprocess.CompletedProcess[str]":
    command = ["mlperf_logging.compliance_checker", "--usage", USAGE, "--ruleset", RULESET]
    command += ["--log_output", str(view / "compliance_checker.log"), str(path.resolve())]
    return run_in(view, command)


# What the engine writes (mlp_compliance.py): records 'LEVEL - message', of which the last WARNING
# holds all messages, separated by a line of 30 hyphens.
# Lines that do not parse are warnings too, set off by more spaces.
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
    """The engine's messages, without its dumps of state."""
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
        # The engine counts MLLOG lines from 0; a reader wants the line of the file.
        line = lines[int(match[2])]
        return Violation(match[1], line.number, f"failed test: {match[4].strip()}", line.text)
    if match := _FAILED_CODE.fullmatch(message):
        return _located(f"cannot evaluate: {match[1].strip()}", match[2], lines)
    if match := _FAILED_ACTION.fullmatch(message):
        return _located(match[1], match[2], lines)
    if match := _FAILED_ANY.fullmatch(message):
        return Violation(match[1], None, f"no line passes: {match[2].strip()}")
    if match := _REQUIRED.fullmatch(message):
        return Violation(match[1], None, message)
    return Violation(None, None, message)


def _located(problem: str, text: str, lines: Sequence[LogLine]) -> Violation:
    for line in lines:
        if line.text == text.strip():
            return Violation((line.record or {}).get("key"), line.number, problem, line.text)
    return Violation(None, None, problem, text.strip())


def _is_warning(violation: Violation) -> bool:
    """A key that should occur once but is repeated with the same value is only a warning."""
    return _REPEATED.fullmatch(violation.problem) is not None
